package intake

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Place says where an import keeps what, and which import it is.
type Place struct {
	State    string   // the path of how far it is
	Lock     string   // the path that is held meanwhile, if there is one
	Rejected string   // the path of the file of rejected rows; links are followed
	Source   *os.File // what is read: nothing is written there
	File     string   // what names its content
	Settings string   // how it is read and sent
	Again    bool     // begin at the first row and with no rejected rows, whatever was begun
}

// Unfit is what Keep answers when rejected rows cannot be kept in a file, which is as it was.
type Unfit struct{ Why string }

func (u *Unfit) Error() string { return "the file of rejected rows: " + u.Why }

// letters is where the path of the file of rejected rows leads, when that may be one.
func (p *Place) letters() (string, error) {
	path, err := final(p.Rejected)
	if err != nil {
		return "", err
	}
	for _, mine := range []string{p.State, p.Lock} {
		if mine == "" {
			continue
		}
		if mine, err = final(mine); err != nil {
			return "", err
		}
		if path == mine {
			return "", errStateThere
		}
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	return path, p.suits(info)
}

// errStateThere is what is wrong with a path that has the state or the lock.
var errStateThere = &Unfit{"it is where the import keeps how far it is"}

// suits reports what is wrong with a file in which rejected rows are to be kept.
func (p *Place) suits(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return &Unfit{"it is not a file"}
	}
	if p.Source != nil {
		source, err := p.Source.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(source, info) {
			return &Unfit{"it is the file that is imported"}
		}
	}
	for _, mine := range []string{p.State, p.Lock} {
		if there, err := os.Stat(mine); mine != "" && err == nil && os.SameFile(there, info) {
			return errStateThere
		}
	}
	return nil
}

// maxLinks bounds the links that a path leads through.
const maxLinks = 40

// final is where a path leads through all links, also when nothing is there yet.
func final(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for range maxLinks {
		there, err := filepath.EvalSymlinks(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return there, err
		}
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(folder, filepath.Base(path))
		to, err := os.Readlink(path)
		if err != nil { // nothing is there
			return path, nil //nolint:nilerr // see above
		}
		if path = to; !filepath.IsAbs(to) {
			path = filepath.Join(folder, to)
		}
	}
	return "", errors.New(path + " leads through too many links")
}

// errNoLetters is what a file is told that has anything but rejected rows in it.
var errNoLetters = &Unfit{"it has something else than rejected rows in it"}

// letterBegins is what each rejected row begins with, and letterNames are the members that it has, in their order; the last two
// may be missing.
const letterBegins = `{"line":`

var letterNames = [...]string{"line", "code", "detail", "row", "text"}

// haveLetters reports whether a text is nothing but rejected rows, of which the last may be cut.
func haveLetters(text io.Reader) error {
	var begin [len(letterBegins)]byte
	n, err := io.ReadFull(text, begin[:])
	if err != nil && !isEnd(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if n == 0 || !bytes.HasPrefix([]byte(letterBegins), begin[:n]) {
		return errNoLetters
	}
	in := jsontext.NewDecoder(io.MultiReader(bytes.NewReader(begin[:n]), text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		err := readLetter(in)
		switch fault := (*jsontext.SyntacticError)(nil); {
		case isEnd(err), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case errors.As(err, &fault):
			return errNoLetters
		case err != nil:
			return err
		}
	}
}

// readLetter reads one rejected row, without keeping it.
func readLetter(in *jsontext.Decoder) error {
	if begin, err := in.ReadToken(); err != nil {
		return err
	} else if begin.Kind() != '{' {
		return errNoLetters
	}
	for at := 0; ; {
		name, err := in.ReadToken()
		if err != nil {
			return err
		}
		if name.Kind() == '}' {
			if at < 3 {
				return errNoLetters
			}
			return nil
		}
		found := slices.Index(letterNames[at:], name.String())
		if found < 0 || found > 0 && at < 3 {
			return errNoLetters
		}
		at += found + 1
		if err := in.SkipValue(); err != nil {
			return err
		}
	}
}
