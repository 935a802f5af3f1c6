package api

import (
	"cmp"
	"encoding/base64"
	"reflect"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// lakehouseProblem is a problem as clients of Altertable's lakehouse read it (contracts A6): of rows they read error_code and
// error_message, and of anything else the text.
type lakehouseProblem struct {
	Problem
	OK           bool    `json:"ok" doc:"Always false."`
	TaskID       *string `json:"task_id" doc:"Always null."`
	ErrorCode    string  `json:"error_code" doc:"The problem as these clients know it." example:"invalid-data"`
	ErrorMessage string  `json:"error_message" doc:"The detail."`
	Error        string  `json:"error" doc:"The same."`
}

// asLakehouse tells clients of the lakehouse of problems: who is not let in is told nothing.
var asLakehouse = speech{
	content: "application/json", shape: reflect.TypeFor[lakehouseProblem](), basic: true, mute: true, status: compat.LakehouseStatus,
	body: func(body Problem, p *problem.Error) any {
		return lakehouseProblem{Problem: body, ErrorCode: compat.LakehouseCode(p.Code), ErrorMessage: p.Detail, Error: p.Detail}
	},
}

// lakehouseRow completes a row of the lakehouse's: with its problems, and a key that comes with HTTP Basic as on no other row.
func lakehouseRow[I, O any](e endpoint[I, O]) endpoint[I, O] {
	e.Of, e.As, e.Credential = compat.Altertable, asLakehouse, lakehouseCredential
	e.Doc.Tag, e.Doc.Basic = "Compatibility", true
	return e
}

// lakehouseCredential finds a key as clients of the lakehouse send it, with HTTP Basic, or as any other in a header.
func lakehouseCredential(rq *request) (gate.Credential, error) {
	c, key, err := readCredential(rq, func(value string) (string, error) {
		if scheme, text, _ := strings.Cut(strings.TrimSpace(value), " "); strings.EqualFold(scheme, "Basic") {
			return eitherPart(text)
		}
		return bearer(value)
	})
	c.Key = access.SecretText(key)
	return inClear(c, err)
}

// eitherPart is the part of HTTP Basic that is a key: the password, or if that is none the user name. What stands beside it is passed
// over, unless it is another key.
func eitherPart(text string) (string, error) {
	name, password, err := basicParts(text)
	if err != nil {
		return "", err
	}
	_, notName := access.ParseKey(name)
	_, notPassword := access.ParseKey(password)
	switch {
	case notName == nil && notPassword == nil && name != password:
		return "", problem.New(problem.TwoCredentials, "The request carries two different keys. Send one.")
	case notName == nil:
		return name, nil
	}
	return cmp.Or(password, name), nil
}

// basicParts are the user name and the password of HTTP Basic (RFC 7617).
func basicParts(text string) (name, password string, err error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	name, password, found := strings.Cut(string(raw), ":")
	if err != nil || !found {
		return "", "", problem.New(problem.MalformedKey, "The Authorization header must be 'Basic' with the base64 of the key and a colon.").
			At("header.Authorization", "cannot be read")
	}
	return name, password, nil
}

// orEmpty is a text that may be null.
func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
