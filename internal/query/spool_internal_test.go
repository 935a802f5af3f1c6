package query

import (
	"os"
	"syscall"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a full disk is told from a fault of the program, so that the caller knows to come back.
func TestAFullDiskIsUnavailable(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]problem.Code{syscall.ENOSPC: problem.Unavailable, syscall.EIO: problem.Internal} {
		if got := problem.Of(spoolFault(&os.PathError{Op: "write", Path: "x", Err: errno})); got != want {
			t.Errorf("%v: got %q, want %q", errno, got, want)
		}
	}
}
