// Package player owns the page that plays recordings: its source in src, and what is made of it in dist, which the server
// serves. The page asks the API for the events with a key that is typed into it, and keeps the key in memory only.
//
// It does not own what is played (recording), nor who may see it (access).
package player

import _ "embed"

//go:generate node ../../../tools/player/build.mjs

// Page is the page, Script and Style are what it loads.
var (
	//go:embed src/page.html
	Page []byte
	//go:embed dist/player.js
	Script []byte
	//go:embed dist/player.css
	Style []byte
)

// Policy is the Content-Security-Policy that the page needs. A recording is shown in a frame that inherits it: no script of it
// runs and nothing of it is fetched; its styles apply, as they stand in it.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data: blob:; font-src data:; media-src data: blob:; " +
	"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
