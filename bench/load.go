package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// result is one measurement.
type result struct {
	requests int64
	took     time.Duration
	used     time.Duration // CPU time of the server's process
	others   time.Duration // CPU time of processes that are not part of the measurement
	slowest  []time.Duration
}

func (r result) rate() float64 { return float64(r.requests) / r.took.Seconds() }

func (r result) cpu() float64 { return float64(r.used.Microseconds()) / float64(r.requests) }

func (r result) String() string {
	return fmt.Sprintf("%7.0f requests/s  %6.1f µs CPU each  p50 %-7s p99 %-7s others %2.0f%%",
		r.rate(), r.cpu(), r.at(0.5), r.at(0.99), 100*r.others.Seconds()/r.took.Seconds())
}

func (r result) at(q float64) time.Duration {
	if len(r.slowest) == 0 {
		return 0
	}
	return r.slowest[int(q*float64(len(r.slowest)-1))].Round(10 * time.Microsecond)
}

// load sends requests over raw connections, one after another on each, so that the load costs little itself.
func (b *bench) load(s *server, head func() header, d time.Duration) (result, error) {
	address := strings.TrimPrefix(s.url, "http://")
	before := fmt.Sprintf("POST /track HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n", address)
	after := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(event), event)
	var requests atomic.Int64
	var mu sync.Mutex
	var r result
	var fault error
	var group sync.WaitGroup
	started := time.Now()
	until := started.Add(d)
	for range b.o.connections {
		group.Go(func() {
			sender := sender{before: before, after: after, head: head(), until: until, requests: &requests}
			err := sender.hammer(address)
			mu.Lock()
			defer mu.Unlock()
			r.slowest = append(r.slowest, sender.times...)
			fault = errors.Join(fault, err)
		})
	}
	group.Wait()
	r.took, r.requests = time.Since(started), requests.Load()
	slices.Sort(r.slowest)
	return r, fault
}

// sender is one connection.
type sender struct {
	before, after string // of the key's header
	head          header
	until         time.Time
	requests      *atomic.Int64
	times         []time.Duration // of one request in 16
}

func (s *sender) hammer(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var request []byte
	buffer := make([]byte, 8<<10)
	for n := 0; ; n++ {
		start := time.Now()
		if start.After(s.until) {
			return nil
		}
		request = append(append(append(request[:0], s.before...), s.head()...), s.after...)
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := readAnswer(conn, buffer); err != nil {
			return err
		}
		s.requests.Add(1)
		if n%16 == 0 {
			s.times = append(s.times, time.Since(start))
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
