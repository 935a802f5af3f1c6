package segment

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/weir-analytics/weir/internal/event"
)

// childFolder names the variable that makes the test program the one that is killed, on the folder it holds.
const (
	childFolder  = "WEIR_TEST_JOURNAL"
	childSegment = 64 << 10
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		appendUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// appendUntilKilled appends from several goroutines and prints what is acknowledged, a position and the data a line.
func appendUntilKilled(dir string) {
	j, report, err := Open(Config{Dir: dir, SegmentSize: childSegment})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := 0; ; i++ {
				data := fmt.Sprintf("since-%d-writer-%d-number-%d-%s", report.Last, w, i, strings.Repeat("x", i%300))
				at, err := j.Append(context.Background(), [][]byte{[]byte(data)})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Fprintf(os.Stdout, "%d %s\n", at, data)
			}
		})
	}
	all.Wait()
}

// runAndKill runs this program as the child, kills it when it has acknowledged some, and gives what it said.
func runAndKill(t *testing.T, dir string) map[event.Position]string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childFolder+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[event.Position]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var at event.Position
		var data string
		if n, _ := fmt.Sscanf(lines.Text(), "%d %s", &at, &data); n == 2 && strings.Contains(data, "-number-") {
			acknowledged[at] = data
		}
		if len(acknowledged) == 1000 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(acknowledged) < 1000 {
		t.Fatalf("the child ended by itself after %d records: %v", len(acknowledged), err)
	}
	return acknowledged
}
