package native

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T) *Conn {
	t.Helper()
	db, err := Open("", Options{Memory: 256 << 20, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); db.Close() })
	return conn
}

func rows(t *testing.T, conn *Conn, sql string) ([]Column, []string, error) {
	t.Helper()
	stmt, err := conn.Prepare(sql)
	if err != nil {
		return nil, nil, err
	}
	defer stmt.Close()
	res, err := stmt.Query(context.Background())
	if err != nil {
		return nil, nil, err
	}
	defer res.Close()
	var out []string
	for {
		n, err := res.Next(context.Background())
		if err == io.EOF {
			return res.Columns(), out, nil
		}
		if err != nil {
			return res.Columns(), out, err
		}
		for i := range n {
			out = append(out, string(res.AppendRow(nil, i)))
		}
	}
}

// Promise: every value comes out exact, in the form the query engine documents, and under the engine's name for its type.
func TestValues(t *testing.T) {
	t.Parallel()
	conn := open(t)
	for _, c := range []struct{ expr, want string }{
		{"true", `true`},
		{"(-128)::TINYINT", `-128`},
		{"32767::SMALLINT", `32767`},
		{"-2147483648", `-2147483648`},
		{"9223372036854775807", `9223372036854775807`},
		{"9007199254740993", `9007199254740993`},
		{"255::UTINYINT", `255`},
		{"65535::USMALLINT", `65535`},
		{"4294967295::UINTEGER", `4294967295`},
		{"18446744073709551615::UBIGINT", `18446744073709551615`},
		{"170141183460469231731687303715884105727::HUGEINT", `170141183460469231731687303715884105727`},
		{"(-170141183460469231731687303715884105727)::HUGEINT", `-170141183460469231731687303715884105727`},
		{"(-1)::HUGEINT", `-1`},
		{"340282366920938463463374607431768211455::UHUGEINT", `340282366920938463463374607431768211455`},
		{"'-123456789012345678901234567890123456789012345678901234567890'::BIGNUM", `-123456789012345678901234567890123456789012345678901234567890`},
		{"'123456789012345678901234567890'::BIGNUM", `123456789012345678901234567890`},
		{"0::BIGNUM", `0`},
		{"0.1", `0.1`},
		{"(-0.05)::DECIMAL(4,2)", `-0.05`},
		{"12345.678::DECIMAL(9,3)", `12345.678`},
		{"1.10::DECIMAL(18,2)", `1.10`},
		{"12345678901234567890123456789012345.678::DECIMAL(38,3)", `12345678901234567890123456789012345.678`},
		{"7::DECIMAL(38,0)", `7`},
		{"0.1::DOUBLE", `0.1`},
		{"0.1::FLOAT", `0.1`},
		{"1e300", `1e+300`},
		{"1e-7", `1e-07`},
		{"3::DOUBLE", `3`},
		{"'NaN'::DOUBLE", `null`},
		{"'-Infinity'::FLOAT", `null`},
		{`'a"b\' || chr(10) || 'ü😀'`, `"a\"b\\\nü😀"`},
		{"'twelve bytes'", `"twelve bytes"`},
		{"'thirteen chars'", `"thirteen chars"`},
		{"'ab'::BLOB", `"YWI="`},
		{`'\xFF\x00'::BLOB`, `"/wA="`},
		{"'10110011101'::BIT", `"10110011101"`},
		{"'1'::BIT", `"1"`},
		{"'ABCDEF01-2345-6789-abcd-ef0123456789'::UUID", `"abcdef01-2345-6789-abcd-ef0123456789"`},
		{"'00000000-0000-0000-0000-000000000001'::UUID", `"00000000-0000-0000-0000-000000000001"`},
		{"TIMESTAMP '2026-01-02 03:04:05.000006'", `"2026-01-02T03:04:05.000006Z"`},
		{"TIMESTAMP '1969-12-31 23:59:59.999999'", `"1969-12-31T23:59:59.999999Z"`},
		{"TIMESTAMP '12345-01-02 00:00:00'", `"+12345-01-02T00:00:00.000000Z"`},
		{"TIMESTAMP '0044-03-15 (BC) 00:00:00'", `"-0043-03-15T00:00:00.000000Z"`},
		{"'infinity'::TIMESTAMP", `null`},
		{"'-infinity'::TIMESTAMP", `null`},
		{"TIMESTAMPTZ '2026-01-02 03:04:05+02'", `"2026-01-02T01:04:05.000000Z"`},
		{"'2026-01-02 03:04:05'::TIMESTAMP_S", `"2026-01-02T03:04:05.000000Z"`},
		{"'2026-01-02 03:04:05.006'::TIMESTAMP_MS", `"2026-01-02T03:04:05.006000Z"`},
		{"'2026-01-02 03:04:05.000000007'::TIMESTAMP_NS", `"2026-01-02T03:04:05.000000007Z"`},
		{"DATE '2026-01-31'", `"2026-01-31"`},
		{"'infinity'::DATE", `null`},
		{"TIME '23:59:59.5'", `"23:59:59.500000"`},
		{"'24:00:00'::TIME", `"24:00:00.000000"`},
		{"'23:59:59.000000007'::TIME_NS", `"23:59:59.000000007"`},
		{"'12:34:56-07:30'::TIMETZ", `"12:34:56.000000-07:30"`},
		{"'12:34:56+15:59:59'::TIMETZ", `"12:34:56.000000+15:59:59"`},
		{"INTERVAL '1 year 2 months 3 days 04:05:06.7'", `"1 year 2 months 3 days 04:05:06.7"`},
		{"INTERVAL 0 days", `"00:00:00"`},
		{"INTERVAL (-90) minutes", `"-01:30:00"`},
		{"INTERVAL '-1 month 5 days'", `"-1 month 5 days"`},
		{`'{"n": 12345678901234567890.123456789012345678, "a":[1.0, 1e2]}'::JSON`, `{"n": 12345678901234567890.123456789012345678, "a":[1.0, 1e2]}`},
		{`('{"a":' || chr(10) || '1}')::JSON`, `{"a": 1}`},
		{`'NaN'::JSON`, `"NaN"`},
		{`'"x"'::JSON`, `"x"`},
		{`['{"n":9007199254740993}'::JSON, NULL]`, `[{"n":9007199254740993},null]`},
		{"'b'::ENUM('a', 'b', 'it''s')", `"b"`},
		{"[1, NULL, 3]", `[1,null,3]`},
		{"[]::INTEGER[]", `[]`},
		{"[[1], [], NULL, [2, 3]]", `[[1],[],null,[2,3]]`},
		{"[1, 2]::INTEGER[2]", `[1,2]`},
		{`{'a': 1, 'b"c': 'x', 'd': {'e': NULL::INTEGER}}`, `{"a":1,"b\"c":"x","d":{"e":null}}`},
		{"row(1, 'x')", `[1,"x"]`},
		{"MAP {'k': 1, 'l': NULL}", `{"k":1,"l":null}`},
		{"MAP {1: 'x'}", `{"1":"x"}`},
		{"MAP {[1, 2]: 'x'}", `{"[1,2]":"x"}`},
		{"MAP {DATE '2026-01-31': 1.5}", `{"2026-01-31":1.5}`},
		{"union_value(n := 3)", `3`},
		{"'x'::UNION(n INTEGER, s VARCHAR)", `"x"`},
	} {
		columns, got, err := rows(t, conn, "SELECT "+c.expr+" AS v, typeof(v)")
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %q, %v", c.expr, got, err)
			continue
		}
		if want := "[" + c.want + "," + quote(columns[0].Type) + "]"; got[0] != want {
			t.Errorf("%s = %s, want %s", c.expr, got[0], want)
		}
	}
}

// Promise: nested values are read rightly wherever they lie: behind a filter, a join, a sort, and over many blocks.
func TestNestedValuesOverManyBlocks(t *testing.T) {
	t.Parallel()
	conn := open(t)
	_, got, err := rows(t, conn, `
		SELECT a, [a, NULL, a + 1], {'l': ['x' || a, NULL], 'm': MAP {'k' || a: [a]}}, to_json({'a': a})
		FROM range(20000) t(a) JOIN range(0, 20000, 3) u(b) ON a = b WHERE a % 2 = 0 ORDER BY a DESC`)
	if err != nil || len(got) != 3334 {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for i, row := range got {
		n := strconv.Itoa(19998 - 6*i)
		next := strconv.Itoa(19998 - 6*i + 1)
		want := `[` + n + `,[` + n + `,null,` + next + `],{"l":["x` + n + `",null],"m":{"k` + n + `":[` + n + `]}},{"a":` + n + `}]`
		if row != want {
			t.Fatalf("row %d = %s, want %s", i, row, want)
		}
	}
}

// Promise: rows are made as they are read, so that a reader who has enough stops the work, and a fault half-way is an
// error and never the end of the rows.
func TestStreaming(t *testing.T) {
	t.Parallel()
	conn := open(t)
	ctx := t.Context()
	for _, c := range []struct {
		sql   string
		fails bool
	}{
		{"SELECT a, repeat('x', 1000) FROM range(1000000000000) t(a)", false},
		{"SELECT CASE WHEN a < 1000000 THEN 1 ELSE CAST('x' || a AS INTEGER) END FROM range(2000000) t(a)", true},
	} {
		stmt, err := conn.Prepare(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		res, err := stmt.Query(ctx)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for err == nil && total < 1_500_000 {
			var n int
			n, err = res.Next(ctx)
			total += n
		}
		res.Close()
		stmt.Close()
		if IsKind(err, Statement) != c.fails || total < 2048 {
			t.Errorf("%s: %d rows, then %v", c.sql, total, err)
		}
	}
}

// Promise: a statement ends soon after its context, before its first row and between rows, and the connection is as
// good as before.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	conn := open(t)
	stmt, err := conn.Prepare("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	res, err := stmt.Query(ctx)
	if err == nil {
		_, err = res.Next(ctx)
		res.Close()
	}
	if !IsKind(err, Interrupted) {
		t.Fatalf("err = %v", err)
	}
	if _, got, err := rows(t, conn, "SELECT 42"); err != nil || got[0] != "[42]" {
		t.Fatalf("after the interrupt: %v, %v", got, err)
	}
}

// Promise: errors say whose matter they are.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	conn := open(t)
	for _, c := range []struct {
		sql  string
		kind Kind
	}{
		{"SELEC 1", Statement},
		{"", Statement},
		{"SELECT 1; SELECT 2", Statement},
		{"SELECT 1 \x00 FROM secrets", Statement},
		{"SELECT * FROM nowhere", Statement},
		{"SELECT CAST('x' AS INTEGER)", Statement},
		{"SELECT '1'::VARIANT", Statement},
		{"SELECT list(a) FROM range(1000000000) t(a)", Memory},
		{"SET threads = 1", Statement},
		{"SELECT * FROM read_text('/etc/passwd')", Statement},
		{"COPY (SELECT 1) TO '/tmp/weir-must-not-be-written'", Statement},
		{"ATTACH '/tmp/weir-must-not-be-attached'", Statement},
	} {
		if _, got, err := rows(t, conn, c.sql); !IsKind(err, c.kind) {
			t.Errorf("%q = %v, %v; want kind %d", c.sql, got, err, c.kind)
		}
	}
}

// Promise: parameters keep their values, however large or odd.
func TestParameters(t *testing.T) {
	t.Parallel()
	conn := open(t)
	huge, _ := new(big.Int).SetString("-170141183460469231731687303715884105727", 10)
	stmt, err := conn.Prepare("SELECT $b, $a, $c, $d, $e, $f")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	values := map[string]any{"a": nil, "b": int64(9007199254740993), "c": huge, "d": 0.1, "e": "a'b\x00ü", "f": true}
	for i, name := range stmt.Parameters() {
		if err := stmt.Bind(i, values[name]); err != nil {
			t.Fatal(name, err)
		}
	}
	res, err := stmt.Query(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	if _, err := res.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = `[9007199254740993,null,-170141183460469231731687303715884105727,0.1,"a'b\u0000ü",true]`
	if got := string(res.AppendRow(nil, 0)); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// Promise: what the appender writes is what is read back, over many blocks, and only when the transaction commits.
func TestAppend(t *testing.T) {
	t.Parallel()
	conn := open(t)
	ctx := t.Context()
	const n = 5000
	fill := func() {
		t.Helper()
		a, err := conn.Append("main", "things")
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		for i := range n {
			Put(a, 0, uint64(i))
			Put(a, 1, i%2 == 0)
			a.TextOrNull(2, strings.Repeat("é", i%20))
			a.Text(3, `{"i":`+strconv.Itoa(i)+`}`)
			a.Time(4, time.UnixMicro(int64(i)))
			if err := a.End(); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	exec := func(sql string) {
		t.Helper()
		if err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE things(a UBIGINT, b BOOLEAN, c VARCHAR, d JSON, e TIMESTAMP); BEGIN")
	fill()
	exec("ROLLBACK; BEGIN")
	fill()
	exec("COMMIT")
	_, got, err := rows(t, conn, "SELECT * FROM things ORDER BY a")
	if err != nil || len(got) != n {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for i, row := range got {
		text := "null"
		if i%20 > 0 {
			text = quote(strings.Repeat("é", i%20))
		}
		want := fmt.Sprintf(`[%d,%v,%s,{"i":%d},"1970-01-01T00:00:00.%06dZ"]`, i, i%2 == 0, text, i, i)
		if row != want {
			t.Fatalf("row %d = %s, want %s", i, row, want)
		}
	}
}
