package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/sdk/js"
)

// script is a client for pages in one encoding.
type script struct {
	tag  string
	text []byte
}

// scripts are a client for pages as it is and packed, which is done once, as well as it goes.
func scripts(text []byte) map[string]script {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(text)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		panic(err) // the level is one there is, and memory takes everything
	}
	all := map[string]script{"": {text: text}, "gzip": {text: packed.Bytes()}}
	for encoding, s := range all {
		sum := sha256.Sum256(s.text)
		all[encoding] = script{`"` + hex.EncodeToString(sum[:16]) + `"`, s.text}
	}
	return all
}

// mountScripts adds the clients for pages, which pages of any origin may load.
func mountScripts(a *API) {
	mountScript(a, "", "/weir.js", js.Script, doc{
		ID: "script", Tag: "Server", Summary: "The client for pages", Text: "For a `script` element; pages of any origin may load it.",
	})
	mountScript(a, compat.Altertable, "/altertable.js", js.Altertable, doc{
		ID: "altertableScript", Tag: "Compatibility", Summary: "The client that Altertable's snippet loads",
		Text: "It does what was called before it came, and is `window.Altertable` from then on. Pages of any origin may load it.",
	})
}

// mountScript adds one client for pages.
func mountScript(a *API, of compat.System, path string, text []byte, d doc) {
	all := scripts(text)
	d.Types, d.Statuses = []string{"text/javascript"}, map[int]reflect.Type{http.StatusNotModified: reflect.TypeFor[nothing]()}
	mountOpen(a, open{
		Method: "GET", Path: path, Action: access.Anyone, Of: of, Script: true,
		Serve: func(rq *request) error {
			header, encoding := rq.reply.Header(), ""
			if encodingOf(rq.r.Header.Values("Accept-Encoding"), "gzip") != "" {
				encoding = "gzip"
				header.Set("Content-Encoding", encoding)
			}
			header.Set("Content-Type", "text/javascript; charset=utf-8")
			header.Set("Cache-Control", "public, max-age=3600")
			header.Set("Cross-Origin-Resource-Policy", "cross-origin")
			header.Set("ETag", all[encoding].tag)
			header.Add("Vary", "Accept-Encoding")
			rq.r.Header.Del("Range") // it is small, and sent whole
			http.ServeContent(&rq.reply, rq.r, "", time.Time{}, bytes.NewReader(all[encoding].text))
			return nil
		},
		Doc: d,
	})
}
