// Command bench measures POST /track under load, beside a bare net/http handler that reads the same body and answers
// 200 in the same run, and prints the ratios.
//
// It builds the server, starts it with a new data folder on this machine, holds it on one core and the load on the
// other, and sends one event a request over a number of connections: to the bare handler, which is the floor, and to the
// server once for each row of variants. It prints requests per second and the server's CPU time per request, and where
// the server spends it. The warehouse's process shares the server's core, as it would on a machine with one.
//
// Ratios are of one round, in which the two ran one after the other. What other programs took of the machine meanwhile
// is printed beside them: where it is much, the ratio says little.
//
//	go run ./bench [-seconds 10] [-connections 64] [-rounds 3] [-only NAME] [-profile cpu.pprof]
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type options struct {
	seconds     int
	connections int
	rounds      int
	only        string // a variant's name; empty: all
	profile     string // where to keep the profile; empty: nowhere
	floor       string // run as the bare handler on this address
}

func main() {
	var o options
	flag.IntVar(&o.seconds, "seconds", 10, "how long each measurement takes, at most 120")
	flag.IntVar(&o.connections, "connections", 64, "connections, at most 1024")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of floor and variants in turn, at most 20")
	flag.StringVar(&o.only, "only", "", "measure this variant only: "+strings.Join(names(), ", "))
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

type bench struct {
	o       options
	folder  string
	pin     bool
	keep    string // file of the profile
	folders int    // of data, so far
}

func run(o options) error {
	measured := variants()
	if o.only != "" {
		measured = slices.DeleteFunc(measured, func(v variant) bool { return v.name != o.only })
	}
	if len(measured) == 0 {
		return fmt.Errorf("there is no variant %q", o.only)
	}
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
	tables := make([]table, len(measured))
	for round := range o.rounds {
		floor, err := b.measure(bare())
		if err != nil {
			return err
		}
		fmt.Printf("round %-3d %-14s %s\n", round+1, "bare handler", floor)
		for i, v := range measured {
			r, err := b.measure(v)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			fmt.Printf("          %-14s %s   ratio %.2f\n", v.name, r, r.rate()/floor.rate())
			tables[i].add(r, floor)
		}
	}
	fmt.Println("\nratios to the bare handler, of requests per second (median, best) and of CPU time per request (median)")
	for i, v := range measured {
		fmt.Printf("%-14s %s\n", v.name, tables[i])
	}
	return b.profileTop()
}

// table gathers the ratios of one variant to the floor.
type table struct{ rates, cpus []float64 }

func (t *table) add(r, floor result) {
	t.rates, t.cpus = append(t.rates, r.rate()/floor.rate()), append(t.cpus, r.cpu()/floor.cpu())
	slices.Sort(t.rates)
	slices.Sort(t.cpus)
}

func (t table) String() string {
	n := len(t.rates)
	return fmt.Sprintf("%.2f %.2f   %.2f", t.rates[n/2], t.rates[n-1], t.cpus[n/2])
}

// measure starts a server, warms it up, loads it, and stops it.
func (b *bench) measure(v variant) (result, error) {
	s, err := b.startServer(v)
	if err != nil {
		return result{}, err
	}
	defer s.stop()
	if err := s.await(); err != nil {
		return result{}, err
	}
	head := func() header { return v.head(s.key, strings.TrimPrefix(s.url, "http://")) }
	if _, err := b.load(s, head, time.Second); err != nil {
		return result{}, err
	}
	before, err := readTimes(s.cmd.Process.Pid)
	if err != nil {
		return result{}, err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- b.takeProfile(s) }()
	r, err := b.load(s, head, time.Duration(b.o.seconds)*time.Second)
	if err != nil {
		return r, err
	}
	after, err := readTimes(s.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	r.used, r.others = after.server-before.server, after.others-before.others
	return r, <-profiled
}
