// Command recording shows a page that records itself with rrweb and sends the recording to Weir with a public key. Open
// /recordings/player of the server to see what was recorded.
//
//	recording -url http://127.0.0.1:8787 -key pk_live_…
package main

import (
	"embed"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

//go:embed page.html page.css record.js recorder.js
var files embed.FS

// settings are what the page is told.
type settings struct{ URL, Key string }

func main() {
	var s settings
	flag.StringVar(&s.URL, "url", "http://127.0.0.1:8787", "address of Weir")
	flag.StringVar(&s.Key, "key", os.Getenv("PUBLIC"), "public key with recordings:write; by default $PUBLIC")
	listen := flag.String("listen", "127.0.0.1:8790", "address to show the page on")
	flag.Parse()
	if err := serve(*listen, s, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func serve(listen string, s settings, out io.Writer) error {
	page, err := template.ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "http://%s/\n", listener.Addr()); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, s); err != nil {
			log.Print(err)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}
