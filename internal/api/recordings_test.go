package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-analytics/weir/internal/api"
)

// chunkOf is a chunk with n events.
func chunkOf(session string, sequence, n int) string {
	event := fmt.Sprintf(`{"type":3,"timestamp":1780000000000,"data":{"of":%d}}`, sequence)
	return fmt.Sprintf(`{"session_id":%q,"sequence":%d,"events":[%s]}`, session, sequence, strings.TrimSuffix(strings.Repeat(event+",", n), ","))
}

// Promise: a chunk may be packed with gzip or zstd and is bounded as it is sent, as it unpacks and in its events; a project
// that has no room is told so.
func TestChunksAreBounded(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("public live").text
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write([]byte(chunkOf("packed", 0, 9)))
	_ = zip.Close()
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := pack.EncodeAll([]byte(chunkOf("packed", 1, 9)), nil)
	bomb := pack.EncodeAll(bytes.Repeat([]byte(" "), 17<<20), nil)
	for _, c := range []struct {
		name, body, encoding string
		status               int
		code                 string
	}{
		{"gzip", zipped.String(), "gzip", 200, ""},
		{"zstd", string(packed), "zstd", 200, ""},
		{"a bomb", string(bomb), "zstd", 413, "body_too_large"},
		{"too large", strings.Repeat(" ", 5<<20+1), "", 413, "body_too_large"},
		{"too many", chunkOf("many", 0, 5001), "", 413, "too_many_items"},
		{"as many as may be", chunkOf("many", 0, 5000), "", 200, ""},
	} {
		header := []string{"X-API-Key", key}
		if c.encoding != "" {
			header = append(header, "Content-Encoding", c.encoding)
		}
		answer, body := w.site.call(t, "POST", "/v1/recordings", strings.NewReader(c.body), header...)
		if answer.StatusCode != c.status || !strings.Contains(body, c.code) {
			t.Errorf("%s: %d %s", c.name, answer.StatusCode, body)
		}
	}
	poor := w.variant(t, func(cfg *api.Config) {
		if cfg.Recordings, err = openRecordings(w, 10); err != nil {
			t.Fatal(err)
		}
	}, nil)
	answer, body := poor.call(t, "POST", "/v1/recordings", strings.NewReader(chunkOf("s", 0, 1)), "X-API-Key", key)
	if answer.StatusCode != http.StatusInsufficientStorage || !strings.Contains(body, "recordings_full") {
		t.Errorf("without room: %d %s", answer.StatusCode, body)
	}
}

// Promise: a recording comes packed where that is asked for; one of which a file is lost is a problem, or an answer that
// visibly breaks off, and never looks whole.
func TestRecordingsAreWholeOrBreakOff(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	writer, reader := p.key("public live").text, p.key("secret live recordings:read").text
	for i := range 3 {
		if answer, body := w.site.call(t, "POST", "/v1/recordings", strings.NewReader(chunkOf("s", i, 2000)), "X-API-Key", writer); answer.StatusCode != 200 {
			t.Fatal(body)
		}
	}
	answer, body := w.site.call(t, "GET", "/v1/recordings/s/events", nil, "X-API-Key", reader, "Accept-Encoding", "zstd")
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	var got struct {
		Events []struct{ Data struct{ Of int } }
	}
	text, err := unpack.DecodeAll([]byte(body), nil)
	if err != nil || answer.Header.Get("Content-Encoding") != "zstd" || json.Unmarshal(text, &got) != nil || len(got.Events) != 6000 || got.Events[5999].Data.Of != 2 {
		t.Fatalf("%d events, %v, %v", len(got.Events), answer.Header, err)
	}
	lose := func(sequence int) {
		err := filepath.WalkDir(filepath.Join(w.dir, "recordings"), func(path string, e fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(e.Name(), fmt.Sprintf("%07d-", sequence)) {
				return os.Remove(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lose(2)
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.site.server.URL+"/v1/recordings/s/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-API-Key", reader)
	q.Header.Set("Accept-Encoding", "identity")
	broken, err := http.DefaultClient.Do(q)
	if err == nil {
		var rest bytes.Buffer
		_, err = rest.ReadFrom(broken.Body)
		_ = broken.Body.Close()
	}
	if err == nil {
		t.Error("an answer without its last chunk looks whole")
	}
	lose(0)
	if answer, body := w.site.call(t, "GET", "/v1/recordings/s/events", nil, "X-API-Key", reader); answer.StatusCode != 500 || answer.Header.Get("Content-Encoding") != "" {
		t.Errorf("without its first: %d %s", answer.StatusCode, body)
	}
}
