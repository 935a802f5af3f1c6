package vault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Promise: a file that belongs to another user is refused, for its owner could change it.
func TestAFileIsOurs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(path, info, os.Geteuid()); err != nil {
		t.Error(err)
	}
	if err := check(path, info, os.Geteuid()+1); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Error(err)
	}
}
