package access

import (
	"errors"
	"fmt"
	"log/slog"
)

// Text is a secret on its way through the program: a key as it was sent, or one just minted. It cannot be printed,
// logged or marshalled; Reveal is the one way to what it holds, and is easily searched for.
//
// It holds a pointer because fmt asks no method of a value in an unexported field, nor for a verb it finds wrong: it
// then prints the parts, and of a pointer it prints the address. Two Texts cannot be compared with ==.
type Text struct {
	_     [0]func()
	value *string
}

// SecretText hides value.
func SecretText(value string) Text { return Text{value: &value} }

// Reveal gives the secret itself. It may go into the answer that creates it and into a comparison, nowhere else.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Empty reports whether there is no secret at all.
func (t Text) Empty() bool { return t.Reveal() == "" }

const hidden = "[secret]"

// String hides the secret.
func (Text) String() string { return hidden }

// GoString hides the secret.
func (Text) GoString() string { return hidden }

// Format hides the secret from every verb.
func (Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue hides the secret.
func (Text) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText refuses: a secret in a marshalled value is a mistake in the program.
func (Text) MarshalText() ([]byte, error) {
	return nil, errors.New("access: a secret cannot be marshalled")
}
