package vault_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-analytics/weir/internal/vault"
)

func ids(keys []vault.Key) (list []string) {
	for _, k := range keys {
		list = append(list, k.ID())
	}
	return list
}

// create makes a file of one key in a folder of its own.
func create(t *testing.T) (string, vault.Key) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	k, err := vault.CreateFile(path, random(1))
	if err != nil {
		t.Fatal(err)
	}
	return path, k
}

// Promise: a file that was made holds the key, for its owner alone, and is never made over another.
func TestCreateFile(t *testing.T) {
	t.Parallel()
	path, k := create(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || info.Size() != 47 {
		t.Fatal(info, err)
	}
	if keys, err := vault.FromFile(path); err != nil || len(keys) != 1 || keys[0].ID() != k.ID() {
		t.Error(keys, err)
	}
	before, _ := os.ReadFile(path)
	if again, err := vault.CreateFile(path, random(2)); !errors.Is(err, fs.ErrExist) || !again.IsZero() {
		t.Error(again, err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed")
	}
	// Over a link that leads nowhere, and without enough random bytes, nothing is made.
	folder := t.TempDir()
	link, target := filepath.Join(folder, "link"), filepath.Join(folder, "target")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if k, err := vault.CreateFile(link, random(1)); !errors.Is(err, fs.ErrExist) {
		t.Error(k, err)
	}
	if k, err := vault.CreateFile(target, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) || !k.IsZero() {
		t.Error(k, err)
	}
	if k, err := vault.CreateFile(filepath.Join(folder, "none", "key"), random(1)); !errors.Is(err, fs.ErrNotExist) || !k.IsZero() {
		t.Error(k, err)
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("a file was made")
	}
}

// Promise: a file that others may read, write or turn elsewhere is refused, and the error says what to do.
func TestAFileIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	path, _ := create(t)
	for mode := range fs.FileMode(0o1000) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := vault.FromFile(path)
		strict := mode&^0o600 == 0
		readable := mode&0o400 != 0 || os.Geteuid() == 0
		if strict && readable != (err == nil) {
			t.Errorf("mode %o: %v", mode, err)
		}
		if !strict && readable && (err == nil || !strings.Contains(err.Error(), "chmod 600 "+path)) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	folder := t.TempDir()
	link, pipe := filepath.Join(folder, "link"), filepath.Join(folder, "pipe")
	if err := errors.Join(os.Chmod(path, 0o600), os.Symlink(path, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		link: "is a symbolic link: name the file itself", pipe: "is not a regular file", folder: "is not a regular file",
		filepath.Join(folder, "none"): "no such file", "": "no such file",
	} {
		for name, err := range everyUse(file) {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s of %s: %v", name, file, err)
			}
		}
	}
}

// everyUse uses a file in every way but the making.
func everyUse(path string) map[string]error {
	_, read := vault.FromFile(path)
	_, rotate := vault.RotateFile(path, random(9))
	return map[string]error{"reading": read, "rotating": rotate, "forgetting": vault.ForgetFormer(path, vault.Key{})}
}

// Promise: a file that holds anything but keys is refused with its name, is not changed, and nothing of it is shown.
func TestAFileHoldsKeysAlone(t *testing.T) {
	t.Parallel()
	path, _ := create(t)
	for text, want := range map[string]string{
		"":                           "there is no master key in it",
		theKey + "\n" + theKey[:44]:  "key 2: vault: a master key is",
		theKey + "\n" + theHex:       "is there twice",
		strings.Repeat(theHex, 17):   "holds more than 1024 bytes",
		theKey + "\x00":              "a master key is",
		"-----BEGIN PRIVATE KEY----": "a master key is",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, err := range everyUse(path) {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || leaks(err.Error()) {
				t.Errorf("%s of %q: %v", name, text, err)
			}
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != text {
			t.Errorf("%q became %q, %v", text, after, err)
		}
	}
}

// Promise: rotation puts a new key first and keeps the former, so that what was sealed is opened; when all was sealed
// anew the former are forgotten, and never on the word of somebody who knows another first key.
func TestRotateFile(t *testing.T) {
	t.Parallel()
	path, first := create(t)
	old := seal(t, vault.New(first), "secret", about)
	second, err := vault.RotateFile(path, random(2))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := vault.FromFile(path)
	if err != nil || !slices.Equal(ids(keys), []string{second.ID(), first.ID()}) {
		t.Fatal(keys, err)
	}
	v := vault.New(keys[0], keys[1:]...)
	if plain, err := v.Open(old, about); err != nil || string(plain) != "secret" || !v.Stale(old) || v.KeyID() != second.ID() {
		t.Error(string(plain), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	for _, other := range []vault.Key{first, {}} {
		if err := vault.ForgetFormer(path, other); err == nil || !strings.Contains(err.Error(), "nothing was forgotten") {
			t.Error(err)
		}
	}
	for range 2 { // the second time there is nothing to forget
		if err := vault.ForgetFormer(path, second); err != nil {
			t.Error(err)
		}
		if keys, err := vault.FromFile(path); err != nil || !slices.Equal(ids(keys), []string{second.ID()}) {
			t.Error(keys, err)
		}
	}
	onlyFile(t, path)
}

// onlyFile checks that nothing is left beside the file.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}

// Promise: eight keys are the most a file takes; the ninth is refused and changes nothing, and so does a source of
// random bytes that ends.
func TestRotationHasALimit(t *testing.T) {
	t.Parallel()
	path, _ := create(t)
	if k, err := vault.RotateFile(path, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) || !k.IsZero() {
		t.Error(k, err)
	}
	for seed := byte(2); seed <= 8; seed++ {
		if _, err := vault.RotateFile(path, random(seed)); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := os.ReadFile(path)
	if k, err := vault.RotateFile(path, random(9)); err == nil || !k.IsZero() || !strings.Contains(err.Error(), "holds 8 master keys") {
		t.Error(k, err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed")
	}
	onlyFile(t, path)
}

// Promise: keys may be written in either form; rotation keeps them as they are.
func TestRotationKeepsWhatWasWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("\n"+theHex+"\r\n\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.RotateFile(path, random(2)); err != nil {
		t.Fatal(err)
	}
	_, text := newKey(t, 2)
	if after, err := os.ReadFile(path); err != nil || string(after) != text+"\n"+theHex+"\n" {
		t.Errorf("%q, %v", after, err)
	}
}

// Promise: what a crash left beside the file is no hindrance; and while another process changes the file, it is not
// changed.
func TestChangesAreOneAtATime(t *testing.T) {
	t.Parallel()
	path, first := create(t)
	if err := os.WriteFile(path+".new", []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if k, err := vault.RotateFile(path, random(2)); err == nil || !k.IsZero() || !strings.Contains(err.Error(), "is being changed by another process") {
		t.Error(k, err)
	}
	if keys, err := vault.FromFile(path); err != nil || keys[0].ID() != first.ID() {
		t.Error("reading waits for no lock", keys, err)
	}
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.RotateFile(path, random(2)); err != nil {
		t.Error(err)
	}
	onlyFile(t, path)
}

// Promise: whoever reads while keys are rotated finds a whole file in which the first key is still there; and of
// rotations at the same time none is lost that said it succeeded.
func TestReadersFindAWholeFile(t *testing.T) {
	t.Parallel()
	path, first := create(t)
	var done atomic.Bool
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				if keys, err := vault.FromFile(path); err != nil || keys[len(keys)-1].ID() != first.ID() {
					t.Error(keys, err)
					return
				}
			}
		})
	}
	var mu sync.Mutex
	made := []string{first.ID()}
	for w := range byte(3) {
		writers.Go(func() {
			for i := range byte(20) {
				if k, err := vault.RotateFile(path, random(10+20*w+i)); err == nil {
					mu.Lock()
					made = append(made, k.ID())
					mu.Unlock()
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	keys, err := vault.FromFile(path)
	found := ids(keys)
	slices.Sort(found)
	slices.Sort(made)
	if err != nil || !slices.Equal(found, made) {
		t.Errorf("made %v, found %v, %v", made, found, err)
	}
}

// Promise: a change that cannot be written changes nothing.
func TestAFailedChangeChangesNothing(t *testing.T) {
	t.Parallel()
	path, k := create(t)
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path+".new", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if made, err := vault.RotateFile(path, random(2)); err == nil || !made.IsZero() {
		t.Error(made, err)
	}
	if keys, err := vault.FromFile(path); err != nil || len(keys) != 1 || keys[0].ID() != k.ID() {
		t.Error(keys, err)
	}
}
