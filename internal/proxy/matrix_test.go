package proxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-analytics/weir/internal/proxy"
)

// The language of the tables. A file has two sections; # begins a comment.
//
//	-- settings --
//	header NAME
//	trusted PREFIX...
//	-- cases --
//	from PEER                (or nobody: a peer without an address)
//	  Name: value            (a line of the header; any number of them)
//	is ADDRESS [via HOP...] [proto P] [ignored] [broken]
type table struct {
	name   string
	config proxy.Config
	cases  []row
}

type row struct {
	peer   netip.Addr
	header http.Header
	want   string
}

// Promise: for every peer and header of the tables, the caller is the one that the table says.
func TestTheTables(t *testing.T) {
	t.Parallel()
	count := 0
	for _, table := range readTables(t) {
		r := proxy.New(table.config)
		for _, c := range table.cases {
			count++
			if got := say(r.Client(c.peer, c.header)); got != c.want {
				t.Errorf("%s: from %v with %v\n is %s\nnot %s", table.name, c.peer, c.header, got, c.want)
			}
		}
	}
	t.Logf("%d cases", count)
	if count < 100 {
		t.Errorf("only %d cases were found", count)
	}
}

// say writes a client in the language of the tables.
func say(c proxy.Client) string {
	words := []string{name(c.Address)}
	if c.Hops != nil {
		words = append(words, "via")
	}
	for _, hop := range c.Hops {
		words = append(words, name(hop))
	}
	if c.Proto != "" {
		words = append(words, "proto", c.Proto)
	}
	if c.Ignored {
		words = append(words, "ignored")
	}
	if c.Broken {
		words = append(words, "broken")
	}
	return strings.Join(words, " ")
}

func name(a netip.Addr) string {
	if !a.IsValid() {
		return "nobody"
	}
	return a.String()
}

func readTables(t testing.TB) (tables []table) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no tables", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil || len(archive.Files) != 2 {
			t.Fatal(file, err)
		}
		read := table{name: file}
		if read.config, err = readSettings(archive.Files[0].Data); err != nil {
			t.Fatal(file, err)
		}
		if read.cases, err = readCases(archive.Files[1].Data); err != nil {
			t.Fatal(file, err)
		}
		tables = append(tables, read)
	}
	return tables
}

func readSettings(data []byte) (c proxy.Config, err error) {
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		known := false
		switch words[0] {
		case "header":
			c.Header, known = proxy.ParseHeader(words[1])
		case "trusted":
			c.Trusted, err = proxy.ParseTrusted(words[1:])
			known = err == nil
		}
		if !known {
			return c, fmt.Errorf("%q: %w", line, err)
		}
	}
	return c, nil
}

func readCases(data []byte) (cases []row, err error) {
	var c row
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || word == "#":
		case word == "from":
			c = row{header: http.Header{}}
			if rest != "nobody" {
				c.peer, err = netip.ParseAddr(rest)
			}
		case word == "" && c.header != nil:
			key, value, ok := strings.Cut(strings.TrimLeft(line, " "), ":")
			if http.CanonicalHeaderKey(key) != key || !ok {
				err = errors.New("not a line of a header as net/http has it")
			}
			c.header[key] = append(c.header[key], strings.TrimPrefix(value, " "))
		case word == "is" && c.header != nil:
			c.want = rest
			cases = append(cases, c)
			c.header = nil
		default:
			err = errors.New("not understood")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return cases, nil
}

// Promise: reading stops after 32 hops and at an element of more than 512 bytes, and says so; what lies to the left of
// the caller's own address may be as long as it likes.
func TestLimitsOfAHeader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	hops := strings.TrimSuffix(strings.Repeat("10.0.0.2, ", 31), ", ")
	for _, c := range []struct{ value, want string }{
		{long + ",203.0.113.1", "203.0.113.1 via 10.0.0.1"},
		{strings.Repeat(",", 1<<20) + "203.0.113.1", "203.0.113.1 via 10.0.0.1"},
		{strings.Repeat("203.0.113.1,", 1<<16) + "203.0.113.2", "203.0.113.2 via 10.0.0.1"},
		{"203.0.113.1, " + hops, "203.0.113.1 via 10.0.0.1" + strings.Repeat(" 10.0.0.2", 31)},
		{"203.0.113.1, 10.0.0.3, " + hops, "10.0.0.3 via 10.0.0.1" + strings.Repeat(" 10.0.0.2", 31) + " broken"},
		{"203.0.113.1" + strings.Repeat(" ", 501), "203.0.113.1 via 10.0.0.1"},
		{"203.0.113.1" + strings.Repeat(" ", 502), "10.0.0.1 broken"},
		{"198.51.100.1,203.0.113.1" + strings.Repeat(" ", 501), "203.0.113.1 via 10.0.0.1"},
		{"198.51.100.1,203.0.113.1" + strings.Repeat(" ", 502), "10.0.0.1 broken"},
		{long, "10.0.0.1 broken"},
	} {
		r := proxy.New(proxy.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Header: proxy.XForwardedFor})
		if got := say(r.Client(netip.MustParseAddr("10.0.0.1"), http.Header{"X-Forwarded-For": {c.value}})); got != c.want {
			t.Errorf("%.60q of %d bytes: %s, want %s", c.value, len(c.value), got, c.want)
		}
	}
}

// Promise: without settings nobody is trusted, and a header is known by its name.
func TestSettings(t *testing.T) {
	t.Parallel()
	header := http.Header{"X-Forwarded-For": {"203.0.113.1"}, "Forwarded": {"for=203.0.113.1"}}
	for _, peer := range []string{"127.0.0.1", "::1", "10.0.0.1", "0.0.0.0", "fe80::1"} {
		if got := say(proxy.New(proxy.Config{}).Client(netip.MustParseAddr(peer), header)); got != peer+" ignored" {
			t.Errorf("%s: %s", peer, got)
		}
	}
	for name, want := range map[string]proxy.Header{
		"": proxy.NoHeader, "none": proxy.NoHeader, "forwarded": proxy.Forwarded, "X-FORWARDED-FOR": proxy.XForwardedFor,
	} {
		if got, ok := proxy.ParseHeader(name); !ok || got != want {
			t.Errorf("%q is %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"x-real-ip", "X-Forwarded-For, Forwarded", " forwarded"} {
		if got, ok := proxy.ParseHeader(name); ok || got != proxy.NoHeader {
			t.Errorf("%q is %v", name, got)
		}
	}
}

// Promise: the peer's address is read from the text that net/http has of it.
func TestPeer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
		"[fe80::1%eth0]:80": "fe80::1", "": "nobody", "@": "nobody", "unknown": "nobody", "192.0.2.1": "nobody",
	} {
		if got := name(proxy.Peer(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Promise: a header and its elements are not changed by reading.
func TestReadingChangesNothing(t *testing.T) {
	t.Parallel()
	r := proxy.New(proxy.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Header: proxy.XForwardedFor})
	header := http.Header{"X-Forwarded-For": {"203.0.113.1", "10.0.0.3, 10.0.0.2"}}
	before := header.Clone()
	first := say(r.Client(netip.MustParseAddr("10.0.0.1"), header))
	if again := say(r.Client(netip.MustParseAddr("10.0.0.1"), header)); again != first || !slices.Equal(header["X-Forwarded-For"], before["X-Forwarded-For"]) {
		t.Errorf("%s, then %s; %v", first, again, header)
	}
}
