package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// devtools is a browser without a window that is told what to do, by the Chrome DevTools protocol over a pipe.
type devtools struct {
	t       *testing.T
	out     io.Writer
	mu      sync.Mutex
	last    int
	waiting map[int]chan json.RawMessage
	asked   []string // the addresses that were asked for
}

// openDevtools starts the browser, which is ended with the test.
func openDevtools(t *testing.T) *devtools {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: scripts/test-deps installs it")
	}
	profile, err := os.MkdirTemp("", "weir-browser") //nolint:usetesting // the browser may still write to it while it is ended
	if err != nil {
		t.Fatal(err)
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir="+profile, "--remote-debugging-pipe", "--window-size=1100,820")
	c.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	d := &devtools{t: t, out: ourOut, waiting: map[int]chan json.RawMessage{}}
	var reading sync.WaitGroup
	reading.Go(func() { d.read(ourIn) })
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		reading.Wait()
		_, _ = ourOut.Close(), ourIn.Close()
		_ = os.RemoveAll(profile)
	})
	return d
}

// read takes what the browser says until it ends.
func (d *devtools) read(from io.Reader) {
	lines := bufio.NewReaderSize(from, 1<<20)
	for {
		text, err := lines.ReadBytes(0)
		if err != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, waiting := range d.waiting {
				close(waiting)
			}
			d.waiting = nil
			return
		}
		var said struct {
			ID     int             `json:"id"`
			Method string          `json:"method"`
			Error  json.RawMessage `json:"error"`
			Result json.RawMessage `json:"result"`
			Params struct {
				Request struct {
					URL string `json:"url"`
				} `json:"request"`
			} `json:"params"`
		}
		if json.Unmarshal(text[:len(text)-1], &said) != nil {
			continue
		}
		d.mu.Lock()
		if said.Method == "Network.requestWillBeSent" {
			d.asked = append(d.asked, said.Params.Request.URL)
		}
		if waiting := d.waiting[said.ID]; waiting != nil {
			delete(d.waiting, said.ID)
			if said.Error != nil {
				said.Result = fmt.Appendf(nil, `{"failed":%s}`, said.Error)
			}
			waiting <- said.Result
		}
		d.mu.Unlock()
	}
}

// call asks the browser for something.
func (d *devtools) call(session, method string, params any, into any) {
	d.t.Helper()
	answer := make(chan json.RawMessage, 1)
	d.mu.Lock()
	d.last++
	id := d.last
	if d.waiting == nil {
		d.mu.Unlock()
		d.t.Fatal("the browser has ended")
	}
	d.waiting[id] = answer
	d.mu.Unlock()
	message := map[string]any{"id": id, "method": method, "params": params}
	if session != "" {
		message["sessionId"] = session
	}
	text, err := json.Marshal(message)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.out.Write(append(text, 0)); err != nil {
		d.t.Fatal(err)
	}
	result, ok := <-answer
	if !ok {
		d.t.Fatalf("the browser ended at %s", method)
	}
	if err := json.Unmarshal(result, into); err != nil {
		d.t.Fatalf("%s: %s: %v", method, result, err)
	}
}

// tab is a page in the browser.
type tab struct {
	*devtools

	session string
}

// open opens an address in a tab of its own, and takes note of what is asked for from then on.
func (d *devtools) open(address string) *tab {
	d.t.Helper()
	var target struct {
		ID string `json:"targetId"`
	}
	d.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	d.call("", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	b := &tab{d, attached.Session}
	b.call(b.session, "Network.enable", map[string]any{}, &struct{}{})
	b.call(b.session, "Page.enable", map[string]any{}, &struct{}{})
	b.call(b.session, "Page.navigate", map[string]any{"url": address}, &struct{}{})
	return b
}

// eval gives the value of an expression as text, and what it throws.
func (b *tab) eval(expression string) string {
	b.t.Helper()
	var out struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	b.call(b.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &out)
	if out.Exception != nil {
		return "threw " + out.Exception.Exception.Description
	}
	return fmt.Sprint(out.Result.Value)
}

// picture is what the tab shows, as PNG.
func (b *tab) picture() []byte {
	b.t.Helper()
	var out struct {
		Data string `json:"data"`
	}
	b.call(b.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &out)
	data, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// requests are the addresses that were asked for.
func (d *devtools) requests() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.asked...)
}
