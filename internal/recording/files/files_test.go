package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording/files"
)

func open(t testing.TB, cfg files.Config) *files.Folder {
	t.Helper()
	f, err := files.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Promise: a file comes back as it was put, in whatever folder, is replaced whole, listed, and deleted with its folder.
func TestFilesComeBack(t *testing.T) {
	t.Parallel()
	f := open(t, files.Config{Dir: filepath.Join(t.TempDir(), "new", "folder")})
	for _, text := range []string{"", "a", strings.Repeat("b", 1<<20)} {
		if err := f.Put(t.Context(), "a/b/c.zst", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Get(t.Context(), "a/b/c.zst"); err != nil || string(got) != text {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if names, err := f.List(t.Context(), "a/b"); err != nil || !slices.Equal(names, []string{"c.zst"}) {
		t.Errorf("%v, %v", names, err)
	}
	if err := errors.Join(f.Delete(t.Context(), "a/b"), f.Delete(t.Context(), "a/b"), f.Delete(t.Context(), "no/such/file")); err != nil {
		t.Error(err)
	}
	if _, err := f.Get(t.Context(), "a/b/c.zst"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the deletion: %v", err)
	}
	if names, err := f.List(t.Context(), "a/b"); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

// Promise: no name leads out of the folder, by what it says or by a link that somebody put there.
func TestNoNameLeadsOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	if err := errors.Join(os.Mkdir(outside, 0o700), os.WriteFile(filepath.Join(outside, "x"), []byte("theirs"), 0o600)); err != nil {
		t.Fatal(err)
	}
	f := open(t, files.Config{Dir: filepath.Join(dir, "in")})
	if err := os.Symlink(outside, filepath.Join(dir, "in", "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", ".", "..", "../outside/x", "a/../../outside/x", "/etc/passwd", outside + "/x", "a//b", "a/", "./a", "a/.b", `..\x`, "a\x00", "é", "a b", "link/x", strings.Repeat("a", 251),
	} {
		err := f.Put(t.Context(), name, []byte("ours"))
		_, read := f.Get(t.Context(), name)
		if err == nil || read == nil {
			t.Errorf("%q: %v, %v", name, err, read)
		}
		if err := f.Delete(t.Context(), name); err == nil {
			t.Errorf("%q was deleted", name)
		}
	}
	if text, err := os.ReadFile(filepath.Join(outside, "x")); err != nil || string(text) != "theirs" {
		t.Errorf("outside there is %s, %v", text, err)
	}
}

// Promise: a disk that is full, or would be nearly so, is told as what it is, and leaves nothing behind.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir, free := t.TempDir(), int64(1009)
	full := false
	f := open(t, files.Config{
		Dir: dir, Reserve: 1000, Free: func() (int64, error) { return free, nil },
		Before: func(do, _ string) error {
			if full && do == "write" {
				return &fs.PathError{Op: do, Path: "x", Err: syscall.ENOSPC}
			}
			return nil
		},
	})
	if err := f.Put(t.Context(), "a/b", []byte("123456789")); err != nil {
		t.Errorf("what just fits: %v", err)
	}
	if err := f.Put(t.Context(), "a/c", []byte("1234567890")); problem.Of(err) != problem.StorageFull {
		t.Errorf("below the reserve: %v", err)
	}
	full = true
	if err := f.Put(t.Context(), "a/d", []byte("1")); problem.Of(err) != problem.StorageFull {
		t.Errorf("on a full disk: %v", err)
	}
	if names, err := f.List(t.Context(), "a"); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Errorf("left are %v, %v", names, err)
	}
}
