package api

import (
	"fmt"
	"testing"
)

// Promise: what questions came to is remembered of the latest, in bounded memory, and never less than the least is set aside.
func TestExpectedIsBounded(t *testing.T) {
	t.Parallel()
	var e expected
	for n := range 4 * maxExpected {
		e.learn(expectedOf("key", fmt.Sprint(n)), int64(n))
	}
	last := expectedOf("key", fmt.Sprint(4*maxExpected-1))
	if e.credits(last, 1) != 4*maxExpected-1 || e.credits(expectedOf("key", "0"), 1) != 1 || e.credits(expectedOf("ke", "y0"), 3) != 3 {
		t.Error("it remembers something else")
	}
	if n := len(e.recent) + len(e.earlier); n > 2*maxExpected {
		t.Errorf("%d questions are remembered", n)
	}
	e.learn(last, 2)
	if e.credits(last, 5) != 5 {
		t.Error("less than the least is set aside")
	}
}
