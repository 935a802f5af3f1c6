package duckdb

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// walls bound what a process may do.
type walls struct {
	standing string   // which there are
	size     *os.File // tells how large the process is
	limit    int64    // bytes of address space it may have
	memory   int64    // bytes of these it got to grow by
}

// raiseWalls bounds this process from now on: it may grow by some bytes of address space, writes no core file (it would
// hold people's data), is the first that the system kills when memory ends, and, where the kernel can, sees no files but
// those in dir and reaches no network.
func raiseWalls(dir string, memory int64) (*walls, error) {
	size, err := os.Open("/proc/self/statm")
	if err != nil {
		return nil, err
	}
	w := &walls{size: size, memory: memory}
	now, err := w.addressSpace()
	if err != nil {
		return nil, err
	}
	w.limit = now + memory
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: uint64(w.limit), Max: uint64(w.limit)}); err != nil {
		return nil, fmt.Errorf("limiting the address space: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return nil, fmt.Errorf("forbidding core files: %w", err)
	}
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) // some systems do not let it be changed
	own := landlock.RWDirs(dir)
	groups := landlock.RODirs("/sys/fs/cgroup").IgnoreIfMissing() // the engine reads its limits there, and breaks when it may not
	member := landlock.ROFiles("/proc/self/cgroup").IgnoreIfMissing()
	if err := landlock.V8.BestEffort().Restrict(own, groups, member); err != nil {
		return nil, fmt.Errorf("landlock: %w", err)
	}
	w.standing = fmt.Sprintf("%d MiB of address space", memory>>20)
	if outside, err := os.Open("/"); err == nil {
		_ = outside.Close()
	} else {
		w.standing += ", landlock"
	}
	return w, nil
}

// addressSpace is how large the process is.
func (w *walls) addressSpace() (int64, error) {
	text := make([]byte, 100)
	n, err := w.size.ReadAt(text, 0)
	if n == 0 {
		return 0, err
	}
	pages, _, _ := strings.Cut(string(text[:n]), " ")
	count, err := strconv.ParseInt(pages, 10, 64)
	return count * int64(os.Getpagesize()), err
}

// worn reports whether the process has so little room left that whatever it does next may fail for want of memory. Its
// allocators seldom give address space back, so that this does not pass.
func (w *walls) worn() bool {
	now, err := w.addressSpace()
	return err == nil && now > w.limit-w.memory/4
}

// systemMemory is how many bytes of memory this process may hope for, or 0 when that cannot be known.
func systemMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	total := int64(info.Totalram) * int64(info.Unit)
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if group, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			total = min(total, group)
		}
	}
	return total
}
