package api

import "github.com/weir-analytics/weir/internal/access"

// secretText is a secret as it stands in a body: a text there, and here what cannot be printed or written.
type secretText struct{ access.Text }

// UnmarshalText takes the secret.
func (s *secretText) UnmarshalText(text []byte) error {
	s.Text = access.SecretText(string(text))
	return nil
}
