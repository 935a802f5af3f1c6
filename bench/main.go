// Command bench measures POST /track under load, beside a bare net/http handler that reads the same body and answers
// 200 in the same run, and prints the ratio.
//
// It builds the server, starts it with a new data folder on this machine, holds it on one core and the load on the
// other, and sends one event a request over a number of connections. It prints requests per second and the server's CPU
// time per request for both, and where the server spends it.
//
//	go run ./bench [-seconds 10] [-connections 64] [-rounds 3] [-profile cpu.pprof]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type options struct {
	seconds     int
	connections int
	rounds      int
	profile     string // where to keep the profile; empty: nowhere
	floor       string // run as the bare handler on this address
}

func main() {
	var o options
	flag.IntVar(&o.seconds, "seconds", 10, "how long each measurement takes, at most 120")
	flag.IntVar(&o.connections, "connections", 64, "connections, at most 1024")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of floor and server in turn, at most 20")
	flag.StringVar(&o.profile, "profile", "", "file to keep the last CPU profile in")
	flag.StringVar(&o.floor, "floor", "", "serve the bare handler on this address (used by the program itself)")
	flag.Parse()
	o.seconds, o.connections, o.rounds = min(max(o.seconds, 1), 120), min(max(o.connections, 1), 1024), min(max(o.rounds, 1), 20)
	var err error
	if o.floor != "" {
		err = serveFloor(o.floor)
	} else {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// serveFloor is the least that a server in net/http can do with the request.
func serveFloor(address string) error {
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 5<<20)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	return (&http.Server{Addr: address, Handler: h, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

// event is the body of every request: about 300 bytes.
const event = `{"environment":"production","event":"Button Clicked","distinct_id":"user-8123","anonymous_id":null,` +
	`"session_id":"session-0191b3a2","device_id":"device-77aa","timestamp":"2026-11-22T03:38:30.319Z",` +
	`"properties":{"page":"pricing","plan":"pro","$lib":"bench","$url":"https://example.com/pricing","value":12.5}}`

func run(o options) error {
	folder, err := os.MkdirTemp("", "weir-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	b := &bench{o: o, folder: folder, keep: o.profile}
	if b.keep == "" {
		b.keep = filepath.Join(folder, "cpu.pprof")
	}
	if err := b.build(); err != nil {
		return err
	}
	cores, err := b.keepToLastCore()
	if err != nil {
		return err
	}
	fmt.Printf("POST /track, one event of %d bytes a request, %d connections, %d rounds of %d s; %s\n", len(event), o.connections, o.rounds, o.seconds, cores)
	var ratios, cpuRatios []float64
	for round := range o.rounds {
		floor, err := b.measure(b.startFloor, "")
		if err != nil {
			return err
		}
		weir, err := b.measure(b.startWeir, fmt.Sprint("round", round))
		if err != nil {
			return err
		}
		fmt.Printf("round %d   bare %s\n          weir %s   ratio %.2f\n", round+1, floor, weir, weir.rate()/floor.rate())
		ratios, cpuRatios = append(ratios, weir.rate()/floor.rate()), append(cpuRatios, weir.cpu()/floor.cpu())
	}
	slices.Sort(ratios)
	slices.Sort(cpuRatios)
	fmt.Printf("median ratio of requests per second %.2f, of CPU time per request %.2f\n", ratios[len(ratios)/2], cpuRatios[len(cpuRatios)/2])
	return b.profileTop()
}

type bench struct {
	o       options
	folder  string
	pin     bool
	keep    string // file of the profile
	profile string // address of the profile
}

// build builds the server and this program, so that neither is compiled while it is measured.
func (b *bench) build() error {
	for name, pkg := range map[string]string{"weir": "./cmd/weir", "bench": "./bench"} {
		c := exec.Command("go", "build", "-o", filepath.Join(b.folder, name), pkg)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			return err
		}
	}
	return nil
}

// keepToLastCore keeps the load on one core, where there are at least two and taskset is there.
func (b *bench) keepToLastCore() (string, error) {
	_, missing := exec.LookPath("taskset")
	if b.pin = missing == nil && runtime.NumCPU() > 1; !b.pin {
		return "server and load share all cores", nil
	}
	runtime.GOMAXPROCS(2)
	out, err := exec.Command("taskset", "-a", "-p", "-c", "1", strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("taskset: %w: %s", err, out)
	}
	return "server on core 0, load on core 1", nil
}

// server is a started process to be measured.
type server struct {
	cmd *exec.Cmd
	url string
	key string
}

func (b *bench) start(name string, args ...string) (*exec.Cmd, error) {
	line := append([]string{filepath.Join(b.folder, name)}, args...)
	if b.pin {
		line = append([]string{"taskset", "-c", "0"}, line...)
	}
	c := exec.Command(line[0], line[1:]...)
	logs, err := os.Create(filepath.Join(b.folder, name+".log"))
	if err != nil {
		return nil, err
	}
	c.Stderr = logs
	c.Env = append(os.Environ(), "GOMAXPROCS=2")
	return c, c.Start()
}

func (b *bench) startFloor(string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c, err := b.start("bench", "-floor", address)
	if err != nil {
		return nil, err
	}
	return &server{cmd: c, url: "http://" + address + "/track"}, nil
}

func (b *bench) startWeir(name string) (*server, error) {
	data := filepath.Join(b.folder, name)
	out, err := exec.Command(filepath.Join(b.folder, "weir"), "init", "--data", data, "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	var made struct {
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	b.profile = "http://" + metrics + "/debug/pprof/profile"
	c, err := b.start("weir", "serve", "--data", data, "--listen", address, "--metrics-listen", metrics, "--profiling", "true")
	if err != nil {
		return nil, err
	}
	return &server{cmd: c, url: "http://" + address + "/track", key: made.PublicKey}, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// result is one measurement.
type result struct {
	requests int64
	took     time.Duration
	used     time.Duration // CPU time of the server's process
	slowest  []time.Duration
}

func (r result) rate() float64 { return float64(r.requests) / r.took.Seconds() }
func (r result) cpu() float64  { return float64(r.used.Microseconds()) / float64(r.requests) }
func (r result) String() string {
	return fmt.Sprintf("%7.0f requests/s  %6.1f µs CPU each  p50 %s  p99 %s", r.rate(), r.cpu(), r.at(0.5), r.at(0.99))
}

func (r result) at(q float64) time.Duration {
	if len(r.slowest) == 0 {
		return 0
	}
	return r.slowest[int(q*float64(len(r.slowest)-1))].Round(10 * time.Microsecond)
}

// measure starts a server, warms it up, loads it, and stops it.
func (b *bench) measure(start func(string) (*server, error), name string) (result, error) {
	s, err := start(name)
	if err != nil {
		return result{}, err
	}
	defer func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}()
	if err := s.await(); err != nil {
		return result{}, err
	}
	if _, err := b.load(s, time.Second); err != nil {
		return result{}, err
	}
	before, err := cpuTime(s.cmd.Process.Pid)
	if err != nil {
		return result{}, err
	}
	profiled := make(chan error, 1)
	if s.key != "" {
		go func() { profiled <- b.takeProfile() }()
	} else {
		profiled <- nil
	}
	r, err := b.load(s, time.Duration(b.o.seconds)*time.Second)
	if err != nil {
		return r, err
	}
	after, err := cpuTime(s.cmd.Process.Pid)
	r.used = after - before
	return r, errors.Join(err, <-profiled)
}

// await waits until the server answers, at most 20 seconds.
func (s *server) await() error {
	for range 400 {
		answer, err := s.send(http.DefaultClient)
		if err == nil && answer == http.StatusOK {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the server did not start")
}

func (s *server) send(c *http.Client) (int, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url, strings.NewReader(event))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-API-Key", s.key)
	answer, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}

// load sends requests over raw connections, one after another on each, so that the load costs little itself.
func (b *bench) load(s *server, d time.Duration) (result, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/track")
	request := fmt.Appendf(nil, "POST /track HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s",
		address, s.key, len(event), event)
	var requests atomic.Int64
	var mu sync.Mutex
	var r result
	var fault error
	var group sync.WaitGroup
	started := time.Now()
	until := started.Add(d)
	for range b.o.connections {
		group.Go(func() {
			times, err := hammer(address, request, until, &requests)
			mu.Lock()
			defer mu.Unlock()
			r.slowest = append(r.slowest, times...)
			fault = errors.Join(fault, err)
		})
	}
	group.Wait()
	r.took, r.requests = time.Since(started), requests.Load()
	slices.Sort(r.slowest)
	return r, fault
}

func hammer(address string, request []byte, until time.Time, requests *atomic.Int64) ([]time.Duration, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	var times []time.Duration
	buffer := make([]byte, 8<<10)
	for n := 0; ; n++ {
		start := time.Now()
		if start.After(until) {
			return times, nil
		}
		if _, err := conn.Write(request); err != nil {
			return times, err
		}
		if err := readAnswer(conn, buffer); err != nil {
			return times, err
		}
		requests.Add(1)
		if n%16 == 0 {
			times = append(times, time.Since(start))
		}
	}
}

// readAnswer reads one answer, which has a Content-Length and fits the buffer, and fails when it is no 200.
func readAnswer(conn net.Conn, buffer []byte) error {
	read := 0
	for {
		n, err := conn.Read(buffer[read:])
		if err != nil {
			return err
		}
		read += n
		head := bytes.Index(buffer[:read], []byte("\r\n\r\n"))
		if head < 0 {
			continue
		}
		if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("the server answered %s", buffer[:read])
		}
		length := 0
		if _, after, ok := bytes.Cut(buffer[:head+2], []byte("Content-Length: ")); ok {
			digits, _, _ := bytes.Cut(after, []byte("\r\n"))
			if length, err = strconv.Atoi(string(digits)); err != nil {
				return err
			}
		}
		if read >= head+4+length {
			return nil
		}
	}
}

// cpuTime is the CPU time a process has used, without its children.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("cannot read the process's times")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// takeProfile takes a CPU profile of the server while it is under load.
func (b *bench) takeProfile() error {
	answer, err := http.Get(b.profile + "?seconds=" + strconv.Itoa(max(1, b.o.seconds-1)))
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	file, err := os.Create(b.keep)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, answer.Body)
	return errors.Join(err, file.Close())
}

// profileTop prints the ten functions the server spends most in, in the last round.
func (b *bench) profileTop() error {
	fmt.Println("\nwhere the server spends its CPU time (the ten largest, flat):")
	c := exec.Command("go", "tool", "pprof", "-top", "-nodecount=10", filepath.Join(b.folder, "weir"), b.keep)
	c.Stdout, c.Stderr = os.Stdout, io.Discard
	return c.Run()
}
