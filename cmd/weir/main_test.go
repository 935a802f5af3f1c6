package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary be weir itself, so that tests run the real program and it can start itself again.
const asProgram = "WEIR_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" || len(os.Args) > 1 && os.Args[1] == warehouseName { // the server starts it without its variables
		main()
		return
	}
	os.Exit(m.Run())
}

// installation is a data folder that has been set up, and the keys to it.
type installation struct {
	t      testing.TB
	data   string
	public string
	secret string
}

func install(t testing.TB) *installation {
	t.Helper()
	in := &installation{t: t, data: filepath.Join(t.TempDir(), "data")}
	out, err := in.weir("init", "--data", in.data, "--json").Output()
	if err != nil {
		t.Fatalf("init: %v", err)
	}
	var made setupResult
	if err := json.Unmarshal(out, &made); err != nil || made.PublicKey == nil || made.SecretKey == nil {
		t.Fatalf("init printed %s (%v)", out, err)
	}
	in.public, in.secret = *made.PublicKey, *made.SecretKey
	return in
}

// unlimit takes the limits off the public key, for tests in which a crash or a load would meet them.
func (in *installation) unlimit() {
	in.t.Helper()
	id := "key_" + in.public[len("pk_live_"):][:12]
	if out, err := in.weir("keys", "update", id, "--data", in.data, "--rate", "0:0", "--daily", "0").CombinedOutput(); err != nil {
		in.t.Fatalf("keys update: %v: %s", err, out)
	}
}

// weir is the program with arguments, in a clean environment.
func (in *installation) weir(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		in.t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// running is a server that runs on an installation.
type running struct {
	*installation
	cmd  *exec.Cmd
	url  string
	logs *bytes.Buffer
}

// serve starts the server and waits until it says where it is.
func (in *installation) serve(settings ...string) *running {
	in.t.Helper()
	r := &running{installation: in, logs: new(bytes.Buffer)}
	r.cmd = in.weir(append([]string{"serve", "--data", in.data, "--listen", "127.0.0.1:0", "--metrics-listen", "", "--warehouse-memory", "2GiB"}, settings...)...)
	r.cmd.Stderr = r.logs
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		in.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(r.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), " is at "); ok {
			r.url, _, _ = strings.Cut(rest, ",")
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return r
		}
	}
	_ = r.cmd.Wait()
	in.t.Fatalf("the server did not start:\n%s", r.logs)
	return nil
}

// kill ends the server as a power cut would, as far as a process can be.
func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// stop asks the server to stop, and reports how it ended.
func (r *running) stop() error {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	return r.cmd.Wait()
}

// send posts JSON and reads the answer.
func (r *running) send(ctx context.Context, key, path string, body any) (int, []byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	q.Header.Set("X-API-Key", key)
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	out, err := io.ReadAll(answer.Body)
	return answer.StatusCode, out, err
}

// ask runs a query and gives its rows.
func (r *running) ask(sql string) [][]any {
	r.t.Helper()
	status, text, err := r.send(r.t.Context(), r.secret, "/v1/query", map[string]any{"sql": sql})
	if err != nil || status != http.StatusOK {
		r.t.Fatalf("query: %d %s %v", status, text, err)
	}
	var answer struct{ Rows [][]any }
	if err := json.Unmarshal(text, &answer); err != nil {
		r.t.Fatal(err)
	}
	return answer.Rows
}

// await asks until a condition holds, for at most a minute.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	every, limit := time.NewTicker(25*time.Millisecond), time.After(time.Minute)
	defer every.Stop()
	for !holds() {
		select {
		case <-every.C:
		case <-limit:
			t.Fatalf("waited a minute for: %s", what)
		}
	}
}

func eventBody(id, name string) map[string]any {
	return map[string]any{"event": name, "event_id": id, "distinct_id": "u_1", "properties": map[string]any{"n": len(id)}}
}
