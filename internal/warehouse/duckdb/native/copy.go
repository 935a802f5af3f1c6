package native

import (
	"context"
	"fmt"
	"strings"
)

// Copy writes everything that the database in a file holds into another file, which must not be there: what was deleted
// in the first is not in the second, in no byte of it. Nobody may have either open. Each of same is a statement with a %s for
// the database, whose number must come out the same for both.
func Copy(ctx context.Context, from, to string, o Options, same ...string) error {
	o.reach = true
	db, err := Open("", o)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, sql := range []string{
		"ATTACH " + quoted(from) + " AS source (READ_ONLY)", "ATTACH " + quoted(to) + " AS target",
		"COPY FROM DATABASE source TO target", "CHECKPOINT target",
	} {
		if err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, sql := range same {
		var numbers []int64
		for _, name := range []string{"source", "target"} {
			if err := conn.Each(ctx, fmt.Sprintf(sql, name), func(r *Result, row int) error {
				numbers = append(numbers, r.Int(0, row))
				return nil
			}); err != nil {
				return err
			}
		}
		if len(numbers) != 2 || numbers[0] != numbers[1] {
			return &Error{Kind: Fault, Message: fmt.Sprintf("the copy is not the same: %v", numbers)}
		}
	}
	return conn.Exec(ctx, "DETACH target; DETACH source")
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
