package view

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

var (
	errNoName   = errors.New("has an empty name")
	errQuotes   = errors.New("has a name in quotation marks that is not a JSON string, or has more behind it than a dot")
	errControl  = errors.New("has a control character: write it in quotation marks, as JSON does")
	errLongPath = errors.New("has more than 8 names or 1024 bytes")
)

// parsePath reads the path to a property: names parted by dots, each bare or a string of JSON.
func parsePath(text string) ([]string, error) {
	if len(text) > MaxText || !utf8.ValidString(text) {
		return nil, errLongPath
	}
	var path []string
	for len(path) < MaxSteps {
		name, rest, more, err := cutName(text)
		if err != nil {
			return nil, err
		}
		path = append(path, name)
		if !more {
			return path, nil
		}
		text = rest
	}
	return nil, errLongPath
}

// Pointer writes a path as a JSON pointer (RFC 6901).
func Pointer(path []string) string {
	var out strings.Builder
	for _, name := range path {
		out.WriteByte('/')
		out.WriteString(strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
	}
	return out.String()
}

// cutName cuts the first name off a path; more says whether a dot and another name follow.
func cutName(path string) (name, rest string, more bool, err error) {
	if !strings.HasPrefix(path, `"`) {
		name, rest, more = strings.Cut(path, ".")
		switch {
		case name == "":
			err = errNoName
		case strings.Contains(name, `"`):
			err = errQuotes
		case strings.ContainsFunc(name, unicode.IsControl):
			err = errControl
		}
		return name, rest, more, err
	}
	d := jsontext.NewDecoder(strings.NewReader(path))
	token, err := d.ReadToken()
	if err != nil {
		return "", "", false, errQuotes
	}
	name = token.String()
	rest = path[d.InputOffset():]
	switch {
	case rest == "":
		return name, "", false, checkName(name)
	case rest[0] != '.':
		return "", "", false, errQuotes
	}
	return name, rest[1:], true, checkName(name)
}

func checkName(name string) error {
	if strings.IndexByte(name, 0) >= 0 {
		return errControl
	}
	return nil
}

// formatPath writes a path in the one way that equal paths share.
func formatPath(path []string) string {
	var out []byte
	for i, name := range path {
		if i > 0 {
			out = append(out, '.')
		}
		if name == "" || strings.ContainsAny(name, `."`) || strings.ContainsFunc(name, unicode.IsControl) {
			out, _ = jsontext.AppendQuote(out, name)
			continue
		}
		out = append(out, name...)
	}
	return string(out)
}
