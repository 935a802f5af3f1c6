package org

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// strictly reads one JSON value that has no member which the program does not know.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the value")
	}
	return nil
}

// fieldOf is the field that an error of strictly is about, and reasonOf what is wrong with it.
func fieldOf(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrong.Field
	}
	if _, name, found := strings.Cut(err.Error(), `unknown field "`); found {
		return clipName(strings.TrimSuffix(name, `"`))
	}
	return "body"
}

func reasonOf(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "it is a " + wrong.Value
	}
	if strings.Contains(err.Error(), "unknown field") {
		return "there is no such field"
	}
	return "it cannot be read"
}

// clipName is so much of a name from outside as is repeated.
func clipName(name string) string {
	const most = 64
	if len(name) > most {
		name = name[:most]
	}
	return strings.ToValidUTF8(name, "")
}
