package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/recording/player"
)

// mountPlayer adds the page that plays recordings, and what it loads. Anyone may have the page; who may see a recording is
// decided when it asks for one.
func mountPlayer(a *API) {
	for _, part := range [...]struct {
		id, path, kind, summary string
		text                    []byte
	}{
		{"player", "/recordings/player", "text/html", "The player of recordings", player.Page},
		{"playerScript", "/recordings/player.js", "text/javascript", "The script of the player", player.Script},
		{"playerStyle", "/recordings/player.css", "text/css", "The style of the player", player.Style},
	} {
		sum := sha256.Sum256(part.text)
		tag := `"` + hex.EncodeToString(sum[:16]) + `"`
		mountOpen(a, open{
			Method: "GET", Path: part.path, Action: access.Anyone,
			Serve: func(rq *request) error {
				header := rq.reply.Header()
				header.Set("Content-Type", part.kind+"; charset=utf-8")
				header.Set("Content-Security-Policy", player.Policy)
				header.Set("Cache-Control", "no-cache")
				header.Set("Cross-Origin-Opener-Policy", "same-origin")
				header.Set("Cross-Origin-Resource-Policy", "same-origin")
				header.Set("Referrer-Policy", "no-referrer")
				header.Set("X-Dns-Prefetch-Control", "off")
				header.Set("ETag", tag)
				http.ServeContent(&rq.reply, rq.r, "", time.Time{}, bytes.NewReader(part.text))
				return nil
			},
			Doc: doc{
				ID: part.id, Tag: "Recordings", Summary: part.summary, Types: []string{part.kind},
				Text: "A page for a browser, which is told the session in its fragment and the key in a form. It asks no other host.",
			},
		})
	}
}
