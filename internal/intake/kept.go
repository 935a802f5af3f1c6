package intake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json/jsontext"
)

// Rejected is a row that was not accepted, as it stands in the file of these.
type Rejected struct {
	Line   int64                     `json:"line"`
	Code   string                    `json:"code"`
	Detail string                    `json:"detail"`
	Row    map[string]jsontext.Value `json:"row,omitempty"`
	Text   string                    `json:"text,omitempty"` // the line, when it could not be read
}

// state is what is kept of an import.
type state struct {
	Progress

	File     string `json:"file"`     // what names the file's content
	Settings string `json:"settings"` // how it is read and sent
	Letters  int64  `json:"letters"`  // bytes of the file of rejected rows
	Next     tail   `json:"next,omitzero"`
}

// Kept is what is kept of an import between its runs. It is for one run at a time.
type Kept struct {
	path    string
	letters *os.File
	own     bool // the file of rejected rows was made by this import
	state   state
}

// tail is what is about to be written behind the rejected rows that the state counts.
type tail struct {
	Bytes int64  `json:"bytes"`
	Head  []byte `json:"head"` // the first of them
}

const maxHead = 4 << 10

func tailOf(lines []byte) tail { return tail{int64(len(lines)), lines[:min(len(lines), maxHead)]} }

// ErrOther is what Keep answers when a file, or how it is read, is not that of the import that was begun.
var ErrOther = errors.New("this import was begun with another file or other flags")

// ErrLetters is what Keep answers when the rejected rows of another import stand in the file.
var ErrLetters = errors.New("the file of rejected rows has those of another import")

// Keep opens what is kept of an import, and the file of rejected rows. Rows that were written there after the last state are
// taken away: they are sent again. The rows of an import that is over are not, unless it is to begin again; a file that has
// anything else in it never is. No two have the file of rejected rows at once; the state is for its user to Hold.
func Keep(p Place) (k *Kept, err error) {
	letters, err := p.letters()
	if err != nil {
		return nil, err
	}
	was, err := readState(p.State)
	if err != nil {
		return nil, err
	}
	k = &Kept{path: p.State, own: was != nil, state: state{File: p.File, Settings: p.Settings}}
	if was != nil && !p.Again {
		if was.File != p.File || was.Settings != p.Settings {
			return nil, ErrOther
		}
		k.state = *was
	}
	if _, err := os.Lstat(letters); errors.Is(err, fs.ErrNotExist) {
		k.own = true
	}
	if k.letters, err = held(letters); err != nil {
		return nil, err
	}
	if err := k.begin(p, was != nil); err != nil {
		return nil, errors.Join(err, k.letters.Close())
	}
	return k, nil
}

// readState reads a state; nil: there is none.
func readState(path string) (*state, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var was state
	if err := json.Unmarshal(text, &was); err != nil || was.File == "" {
		return nil, fmt.Errorf("%s does not say how far an import is, and is left as it is: move it away (%w)", path, cmp.Or(err, errors.New("it names no file")))
	}
	return &was, nil
}

// begin makes the file of rejected rows what the state says, if it is one.
func (k *Kept) begin(p Place, begun bool) error {
	info, err := k.letters.Stat()
	if err != nil {
		return err
	}
	if err := p.suits(info); err != nil { // it may be another file by now
		return err
	}
	if info.Size() > 0 {
		if err := haveLetters(io.NewSectionReader(k.letters, 0, info.Size())); err != nil {
			return err
		}
		if !begun && !p.Again {
			return ErrLetters
		}
	}
	if begun && p.Again {
		if err := os.Remove(p.State); err != nil {
			return err
		}
	}
	k.state.Letters = min(k.state.Letters, info.Size()) // those of before may have been taken away
	if err := k.ownTail(info.Size()); err != nil && !p.Again {
		return err
	}
	if err := k.letters.Truncate(k.state.Letters); err != nil || begun && !p.Again {
		return err
	}
	return k.save() // before there are rows that were rejected, so that they are known to be this import's
}

// ownTail reports whether what stands behind the rows that the state counts is this import's: what it was about to write. Another
// import may have written there while this one was stopped.
func (k *Kept) ownTail(size int64) error {
	rest := size - k.state.Letters
	if rest > k.state.Next.Bytes {
		return ErrLetters
	}
	head := make([]byte, min(rest, int64(len(k.state.Next.Head)))) // it may be cut
	if _, err := k.letters.ReadAt(head, k.state.Letters); err != nil {
		return err
	}
	if !bytes.HasPrefix(k.state.Next.Head, head) {
		return ErrLetters
	}
	return nil
}

// Progress is how far the import is.
func (k *Kept) Progress() Progress { return k.state.Progress }

// Close closes the file of rejected rows, and takes it away when it is empty and was not there before.
func (k *Kept) Close() error {
	var err error
	if k.state.Letters == 0 && k.own {
		err = drop(k.letters) // as long as it is held
	}
	return errors.Join(err, k.letters.Close())
}

// Done forgets the state: the import is over.
func (k *Kept) Done() error {
	if err := os.Remove(k.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// keep writes what came of a batch: first the rejected rows, then the state that counts them.
func (k *Kept) keep(p Progress, rejected []Rejected) error {
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	out.SetEscapeHTML(false)
	for _, r := range rejected {
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	if lines.Len() > 0 {
		k.state.Next = tailOf(lines.Bytes())
		if err := k.save(); err != nil {
			return err
		}
		_, err := k.letters.WriteAt(lines.Bytes(), k.state.Letters)
		if err = errors.Join(err, k.letters.Sync()); err != nil {
			return fmt.Errorf("keep rejected rows: %w", err)
		}
	}
	k.state.Progress, k.state.Next = p, tail{}
	k.state.Letters += int64(lines.Len())
	return k.save()
}

// save puts the state on the disk, whole.
func (k *Kept) save() error {
	text, err := json.Marshal(k.state)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(k.path), filepath.Base(k.path)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(append(text, '\n'))
	if err = errors.Join(err, next.Sync(), next.Close()); err == nil {
		err = os.Rename(next.Name(), k.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep the state: %w", err), os.Remove(next.Name()))
	}
	return nil
}

// first is what the first rejected row was told.
func (*Kept) first(rejected []Rejected) string {
	if len(rejected) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("line %d: %s", rejected[0].Line, rejected[0].Detail)
}
