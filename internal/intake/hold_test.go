package intake

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Promise: however many want a path at once and give it back, one at most has it, and it is free in the end with nothing left there.
func TestOneHoldsAPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.lock")
	var inside, held atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 300 {
				h, err := Hold(path)
				if errors.Is(err, ErrBusy) {
					continue
				}
				if err != nil || inside.Add(1) != 1 {
					t.Errorf("held together with another, or %v", err)
					return
				}
				held.Add(1)
				inside.Add(-1)
				if err := h.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if _, err := os.Stat(path); held.Load() == 0 || !os.IsNotExist(err) {
		t.Errorf("%d held it; at the end there is %v", held.Load(), err)
	}
}

// Promise: two imports at once do not write their rejected rows to one file, and the one that came second changes nothing.
func TestRejectedRowsOfTwo(t *testing.T) {
	folder := t.TempDir()
	letters := filepath.Join(folder, "l")
	first, err := Keep(Place{State: filepath.Join(folder, "s"), Rejected: letters, File: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.keep(Progress{Rows: 1, Rejected: 1}, []Rejected{{Line: 1, Code: "c"}}); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(folder, "other")
	if _, err := Keep(Place{State: other, Rejected: letters, File: "g"}); !errors.Is(err, ErrBusy) {
		t.Errorf("the second: %v", err)
	}
	if _, err := os.Stat(other); !os.IsNotExist(err) {
		t.Errorf("the second left a state: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(letters); err != nil || string(text) != "{\"line\":1,\"code\":\"c\",\"detail\":\"\"}\n" {
		t.Errorf("%q, %v", text, err)
	}
}
