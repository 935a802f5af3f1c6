package shell

import (
	"errors"
	"strings"
	"testing"
)

// Promise: an error in a statement is shown with a caret below the character that the server named, wide characters and
// long lines included, and an error without a place is shown without one.
func TestComplaints(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for _, c := range []struct{ statement, detail, want string }{
		{"SELECT 1\nFROM nowhere", "line 2, column 6: no table", "line 2: FROM nowhere\n             ^\n"},
		{"SELECT '名' x y", "line 1, column 14: why", "line 1: SELECT '名' x y\n                      ^\n"},
		{"SELECT", "line 1, column 7: end", "line 1: SELECT\n              ^\n"},
		{"SELECT", "line 1, column 70: end", "line 1: SELECT\n              ^\n"},
		{"\tx\x1b[2J", "line 1, column 2: x", "line 1:  x\\u001b[2J\n         ^\n"},
		{long + "!" + long, "line 1, column 201: far", "line 1: …" + long[:60] + "!" + long[:58] + "…\n" + strings.Repeat(" ", 69) + "^\n"},
		{"SELECT", "line 2, column 1: beyond", ""},
		{"SELECT", "line 0, column 1: before", ""},
		{"SELECT", "nothing of a place: line 1, column 1", ""},
	} {
		got := complain(c.statement, &Refusal{Code: "invalid_sql", Detail: c.detail, Reference: "request req_1"})
		if want := "error: " + c.detail + " (invalid_sql, request req_1)\n" + c.want; got != want {
			t.Errorf("%q, %q:\n%s\nwant\n%s", c.statement, c.detail, got, want)
		}
	}
	if got := complain("SELECT", errors.New("no \x1bserver")); got != "error: no \\u001bserver\n" {
		t.Errorf("%q", got)
	}
}
