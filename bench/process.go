package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a started process to be measured.
type server struct {
	cmd     *exec.Cmd
	url     string
	profile string // address of its CPU profile; empty: it has none
	key     made
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// serveFloor is the bare handler.
func serveFloor(address string) error {
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 5<<20)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	return (&http.Server{Addr: address, Handler: h, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
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

// startServer starts what a variant is measured on.
func (b *bench) startServer(v variant) (*server, error) {
	if v.key == nil {
		return b.startFloor()
	}
	return b.startWeir(v)
}

func (b *bench) startFloor() (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c, err := b.start("bench", "-floor", address)
	if err != nil {
		return nil, err
	}
	return &server{cmd: c, url: "http://" + address, key: made{Key: "none"}}, nil
}

func (b *bench) startWeir(v variant) (*server, error) {
	b.folders++
	data := filepath.Join(b.folder, fmt.Sprint("data", b.folders))
	if out, err := exec.Command(filepath.Join(b.folder, "weir"), "init", "--data", data, "--json").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init: %w: %s", err, out)
	}
	key, err := b.makeKey(data, v)
	if err != nil {
		return nil, err
	}
	s := &server{key: key}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s.url, s.profile = "http://"+address, "http://"+metrics+"/debug/pprof/profile"
	s.cmd, err = b.start("weir", "serve", "--data", data, "--listen", address, "--metrics-listen", metrics, "--profiling", "true")
	return s, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// await waits until the server answers, at most 20 seconds.
func (s *server) await() error {
	for range 400 {
		answer, err := http.Get(s.url + "/healthz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the server did not start")
}

// times are CPU times so far.
type times struct {
	server time.Duration // of the server's process, without its children
	others time.Duration // of all processes but the server, its children and this one
}

func readTimes(pid int) (t times, err error) {
	own, err := processTime(os.Getpid())
	if err != nil {
		return t, err
	}
	if t.server, err = processTime(pid); err != nil {
		return t, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return t, err
	}
	ours := own + t.server
	for child := range strings.FieldsSeq(string(children)) {
		n, err := strconv.Atoi(child)
		if err != nil {
			return t, err
		}
		used, err := processTime(n)
		if err != nil {
			return t, err
		}
		ours += used
	}
	all, err := busyTime()
	t.others = all - ours
	return t, err
}

// processTime is the CPU time a process has used, without its children.
func processTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return ticks(strings.Fields(rest), 11, 12)
}

// busyTime is the CPU time that all cores have spent on anything, that lost to other machines included.
func busyTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return ticks(strings.Fields(line), 1, 2, 3, 6, 7, 8)
}

// ticks adds up fields of a line, in hundredths of a second.
func ticks(fields []string, places ...int) (time.Duration, error) {
	sum := int64(0)
	for _, at := range places {
		if at >= len(fields) {
			return 0, errors.New("cannot read the system's times")
		}
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond, nil
}

// takeProfile takes a CPU profile of a server that has one, while it is under load.
func (b *bench) takeProfile(s *server) error {
	if s.profile == "" {
		return nil
	}
	answer, err := http.Get(s.profile + "?seconds=" + strconv.Itoa(max(1, b.o.seconds-1)))
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
