package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// declaredKey is a key in the configuration file: a table [[keys]]. It has the key's digest and not the key.
type declaredKey struct {
	ID         string   `json:"id"`
	Digest     string   `json:"digest"`
	Kind       string   `json:"kind"`
	Parent     string   `json:"parent"`
	Mode       string   `json:"mode"`
	Project    string   `json:"project"`
	Label      string   `json:"label"`
	Steward    string   `json:"steward"`
	Scopes     []string `json:"scopes"`
	PublicKeys []string `json:"public_keys"`
	keyring.Settings
}

// maxDeclared bounds how many keys a file declares.
const maxDeclared = 1000

// readDeclared reads the tables [[keys]]. Every fault is reported with the key it is in.
func readDeclared(list any) (keys []keyring.Record, faults []string) {
	tables, ok := list.([]map[string]any)
	if !ok || len(tables) > maxDeclared {
		return nil, []string{fmt.Sprintf("keys: must be at most %d tables [[keys]]", maxDeclared)}
	}
	for i, table := range tables {
		rec, err := readDeclaredKey(table)
		if err != nil {
			faults = append(faults, fmt.Sprintf("keys[%d]: %v", i, err))
		}
		keys = append(keys, rec)
	}
	for i, rec := range keys {
		if rec.Kind == access.Client && rec.Parent != "" && !slices.ContainsFunc(keys, func(up keyring.Record) bool { return up.ID == rec.Parent && up.Kind == access.Secret }) {
			faults = append(faults, fmt.Sprintf("keys[%d]: parent: is no secret key that the file declares", i))
		}
	}
	return keys, faults
}

func readDeclaredKey(table map[string]any) (keyring.Record, error) {
	text, err := json.Marshal(table)
	if err != nil {
		return keyring.Record{}, err
	}
	var in declaredKey
	if err := jsonv2.Unmarshal(text, &in, jsonv2.RejectUnknownMembers(true)); err != nil {
		return keyring.Record{}, fmt.Errorf("is not a key: %w", err)
	}
	return in.record(table["limits"] != nil)
}

func (in *declaredKey) record(limited bool) (keyring.Record, error) {
	rec := keyring.Record{ID: in.ID, Project: in.Project, Parent: in.Parent, Label: in.Label, Steward: in.Steward, Kind: access.Secret, Mode: access.Live}
	var faults []string
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if _, ok := access.LookupOf(in.ID); !ok {
		add("id: is not the id of a key, such as key_ and twelve characters")
	}
	if n, err := hex.Decode(rec.Digest[:], []byte(in.Digest)); err != nil || n != len(rec.Digest) || len(in.Digest) != 2*len(rec.Digest) {
		add("digest: must be the SHA-256 of the whole key, in hex")
	}
	prefix := "sk_"
	switch in.Kind {
	case "secret":
	case "public":
		rec.Kind, prefix = access.Public, "pk_"
	case "client":
		rec.Kind, prefix = access.Client, "cs_"
	default:
		add("kind: must be public, secret or client")
	}
	if _, ok := access.LookupOf(in.Parent); ok != (rec.Kind == access.Client) || !ok && in.Parent != "" {
		add("parent: must be the id of the declared secret key that a client comes of, and is for clients only")
	}
	if in.Mode != "" {
		var ok bool
		if rec.Mode, ok = access.ParseMode(in.Mode); !ok {
			add("mode: must be live or test")
		}
	}
	for i, name := range in.Scopes {
		scope, err := access.ParseScope(name)
		if err != nil {
			add("scopes[%d]: %v", i, err)
		}
		rec.Scopes |= scope
	}
	for i, text := range in.PublicKeys {
		key, err := signature.ParsePublicKey(text)
		if err != nil {
			add("public_keys[%d]: %v", i, err)
		}
		rec.Signing.PublicKeys = append(rec.Signing.PublicKeys, key)
	}
	bounds, err := in.Bounds()
	if err != nil {
		add("%s", problem.From(err).Detail)
	}
	rec.Bounds = bounds
	switch {
	case limited:
	case rec.Kind == access.Client:
		rec.Limits = access.Limits{} // its parent's count
	default:
		rec.Limits = access.DefaultLimits(rec.Kind)
	}
	if len(faults) > 0 {
		return rec, errors.New(strings.Join(faults, "; "))
	}
	rec.Hint = prefix + rec.Mode.String() + "_" + in.ID[len("key_"):len("key_")+4] + "…"
	return rec, nil
}

// hashKeyCommand prints what the configuration file declares of a key that is read from standard input.
func hashKeyCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "hash", Short: "Read a key from standard input and print its id and digest, as the configuration file declares them", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := io.ReadAll(io.LimitReader(w.in, 4096))
			if err != nil {
				return err
			}
			parsed, err := access.ParseKey(strings.TrimSpace(string(text)))
			if err != nil {
				return fmt.Errorf("what was read is not a key: %w", err)
			}
			parent := ""
			if parsed.Kind == access.Client {
				parent = "parent = \"\" # the id of the declared secret key that it comes of\n"
			}
			_, err = fmt.Fprintf(w.out, "[[keys]]\nid = %q\ndigest = %q\nkind = %q\nmode = %q\n%s", parsed.Lookup.ID(), hex.EncodeToString(parsed.Digest[:]), parsed.Kind, parsed.Mode, parent)
			return err
		},
	}
}
