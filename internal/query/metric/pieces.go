package metric

import "strings"

// Piece is a piece of SQL that means something, by the bytes it takes.
type Piece struct {
	Start, End int
	Word       bool // it is a name or keyword without quotes, or a number
}

// Pieces parts SQL into its pieces, without spaces and comments. open says that the SQL ends inside a text, a name in
// quotes, or a comment.
func Pieces(sql string) (pieces []Piece, open bool) {
	for _, t := range scan(sql) {
		switch t.kind {
		case space:
		case comment:
			open = t.end == len(sql) && strings.HasPrefix(sql[t.start:], "--")
		case broken:
			open = true
		default:
			pieces = append(pieces, Piece{t.start, t.end, t.kind == word})
		}
	}
	return pieces, open
}
