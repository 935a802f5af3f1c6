package ledger

import (
	"strings"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// The limits on texts that a sender chose, in bytes.
const (
	maxText   = 256
	maxClient = 64       // of a client's family or library, where shapes are told apart by it
	maxDetail = 16 << 10 // of what an admin is told of a signature
)

// fit makes a text that a sender chose fit to be kept: without the secret part of a key that somebody put in the place of
// a name, valid UTF-8 without NUL, of at most n bytes. A text that no store takes would hold up all the others.
func fit(text string, n int) string {
	text = access.HideKeysIn(text) // before a cut could make a key hard to know
	if len(text) > n {
		text = cut(text, n)
	}
	if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
		text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
	}
	return text
}

// cut shortens a text to its first n bytes, or to fewer so as to split no character.
func cut(text string, n int) string {
	for n > 0 && n < len(text) && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// clean makes the texts of a denial fit to be kept. What it changes it copies.
func clean(d *gate.Denial) {
	for _, text := range [...]*string{&d.KeyID, &d.Environment, &d.Event, &d.RequestID, &d.Origin, &d.Client.Agent, &d.Client.SDK} {
		*text = fit(*text, maxText)
	}
	d.Detail = fit(d.Detail, maxDetail)
	if len(d.Remedies) > 0 {
		remedies := make([]access.Remedy, len(d.Remedies))
		for i, r := range d.Remedies {
			r.Field, r.Value = fit(r.Field, maxText), fit(r.Value, maxText)
			remedies[i] = r
		}
		d.Remedies = remedies
	}
}

// clean makes the texts of a shape fit to be kept.
func (s *Shape) clean() {
	s.Environment, s.Event, s.Origin = fit(s.Environment, maxText), fit(s.Event, maxText), fit(s.Origin, maxText)
	s.Agent, s.SDK = fit(s.Agent, maxClient), fit(s.SDK, maxClient)
}
