// Package js owns the client for pages: its source in src, and what is made of it in dist, of which the server serves the
// file for pages as /weir.js, and the one for pages with Altertable's snippet as /altertable.js.
//
// It does not own what the server does with what the client sends (event).
package js

import _ "embed"

//go:generate node ../../tools/sdk/build.mjs

// Script is the client for pages, minified.
//
//go:embed dist/weir.js
var Script []byte

// Altertable is the same under the names that pages with Altertable's snippet use, minified.
//
//go:embed dist/altertable.js
var Altertable []byte
