package shell

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
)

// The limits on the history.
const (
	maxHistory      = 1000    // entries that are kept
	maxHistoryBytes = 4 << 20 // of the file that are read
	maxEntry        = 16 << 10
)

// History is a file with what was typed, an entry a line, readable to its owner alone. The zero History keeps nothing.
// What holds a credential is not kept: an entry is dropped whole, since a masked one would be run by mistake.
type History struct{ path string }

// OpenHistory opens the history in a file, which is made with its folder, and gives the latest entries, oldest first. A
// file that has grown to more than twice as many is cut.
func OpenHistory(path string) (History, []string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return History{}, nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return History{}, nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return History{}, nil, errors.Join(err, errors.New("the history is not a regular file"))
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := file.Chmod(0o600); err != nil {
			return History{}, nil, err
		}
	}
	text := make([]byte, min(info.Size(), maxHistoryBytes))
	n, _ := file.ReadAt(text, info.Size()-int64(len(text)))
	entries := entriesOf(text[:n])
	h := History{path}
	if len(entries) > 2*maxHistory || info.Size() > maxHistoryBytes {
		entries = entries[max(0, len(entries)-maxHistory):]
		err = h.rewrite(entries)
	}
	return h, entries[max(0, len(entries)-maxHistory):], err
}

// entriesOf are the lines that can be shown again.
func entriesOf(text []byte) (entries []string) {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 && len(line) <= maxEntry && utf8.Valid(line) && Harmless(string(line)) == string(line) {
			entries = append(entries, string(line))
		}
	}
	return entries
}

// rewrite replaces the file by one with these entries.
func (h History) rewrite(entries []string) error {
	file, err := os.CreateTemp(filepath.Dir(h.path), ".sql_history-*") // for its owner alone
	if err != nil {
		return err
	}
	_, err = file.WriteString(strings.Join(entries, "\n") + "\n")
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), h.path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// Add keeps an entry, and reports whether it may be kept at all.
func (h History) Add(entry string) (kept bool, err error) {
	if !keepable(entry) {
		return false, nil
	}
	if h.path == "" {
		return true, nil
	}
	file, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // somebody took it away: so be it
	}
	if err != nil {
		return true, err
	}
	_, err = file.WriteString(entry + "\n")
	return true, errors.Join(err, file.Close())
}

// keepable reports whether an entry may be kept: one line of text that holds no credential.
func keepable(entry string) bool {
	return strings.TrimSpace(entry) != "" && len(entry) <= maxEntry && Harmless(entry) == entry && access.HideKeysIn(entry) == entry
}

// entriesFor are the entries that a statement of some lines makes: itself on one line, when its line ends mean nothing,
// and else its lines one by one, when none of them alone may not be kept.
func entriesFor(statement string) []string {
	whole := strings.Join(strings.Fields(statement), " ")
	if access.HideKeysIn(whole) != whole || access.HideKeysIn(joined(statement)) != joined(statement) {
		return nil
	}
	lines := strings.Split(statement, "\n")
	quiet := true
	for i := range lines {
		lines[i] = strings.ReplaceAll(strings.TrimSuffix(lines[i], "\r"), "\t", " ")
		var s Splitter
		s.Add(lines[i])
		_, open := s.Begun()
		quiet = quiet && open == ""
	}
	if quiet {
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
		return []string{strings.TrimSpace(strings.Join(lines, " "))}
	}
	return lines
}

// joined is a statement without its blanks: a key that was broken over two lines is found in it.
func joined(statement string) string { return strings.Join(strings.Fields(statement), "") }
