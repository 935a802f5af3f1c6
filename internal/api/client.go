package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/url"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// clientMembers are the members of a form, or of a JSON object, in which a client's id and secret may stand.
type clientMembers struct {
	id, secret string
	assertion  string // what a client signs in the place of a secret (RFC 7521 section 4.2); empty: there is none
	of         string // what the sender says that the client comes of; empty: nobody says it
}

// saidClient is what stands there.
type saidClient struct{ id, secret, assertion, kind, of string }

// oauthClient is how RFC 6749 section 2.3.1 names them.
var oauthClient = clientMembers{id: "client_id", secret: "client_secret", assertion: "client_assertion"}

// clientSize bounds a body that may have a credential in it.
var clientSize = size{sent: 64 << 10, unpacked: 64 << 10}

// clientCredential finds the secret of a client, for a row whose action is a client's: with HTTP Basic, where id and secret
// are form-urlencoded (RFC 6749 section 2.3.1), as any other key in a header, or in the body. More than one of these is
// refused, and so is an id that is not that of the secret. The body can be read again afterwards.
func clientCredential(members clientMembers) func(*request) (gate.Credential, error) {
	return func(rq *request) (gate.Credential, error) {
		return inClear(readClient(rq, members))
	}
}

func readClient(rq *request, members clientMembers) (gate.Credential, error) {
	id := ""
	c, key, err := readCredential(rq, func(value string) (secret string, err error) {
		scheme, text, _ := strings.Cut(strings.TrimSpace(value), " ")
		if !strings.EqualFold(scheme, "Basic") {
			return bearer(value)
		}
		id, secret, err = basic(text)
		return secret, err
	})
	if err != nil {
		return c, err
	}
	said, err := members.in(rq)
	switch {
	case err != nil:
		return c, err
	case key != "" && said.secret+said.assertion != "" || said.secret != "" && said.assertion != "":
		return c, problem.New(problem.TwoCredentials, "The request carries two credentials, in its head or its body. Send one.")
	case said.assertion != "":
		return rq.asserted(c, said)
	case said.secret != "":
		c.Via, key = access.InBody, said.secret
	}
	c.Of = access.SecretText(said.of)
	for _, name := range [...]string{id, said.id} {
		if parsed, err := access.ParseKey(key); err == nil && name != "" && parsed.Lookup.ID() != name {
			return c, problem.New(problem.MalformedKey, "The client's id is not that of the secret that was sent with it.")
		}
	}
	c.Key = access.SecretText(key)
	return c, nil
}

// basic reads an id and a secret as RFC 6749 section 2.3.1 writes them.
func basic(text string) (id, secret string, err error) {
	wrong := problem.New(problem.MalformedKey, "The Authorization header must be 'Basic' with the base64 of the client's id, a colon and its secret.").
		At("header.Authorization", "cannot be read")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return "", "", wrong
	}
	first, second, found := strings.Cut(string(raw), ":")
	id, wrongID := url.QueryUnescape(first)
	secret, wrongSecret := url.QueryUnescape(second)
	if !found || id == "" || secret == "" || wrongID != nil || wrongSecret != nil {
		return "", "", wrong
	}
	return id, secret, nil
}

// in finds the members in the body of a request. What cannot be read has none: whoever reads the body says what is wrong.
func (m clientMembers) in(rq *request) (said saidClient, err error) {
	kind, _, _ := mime.ParseMediaType(rq.r.Header.Get("Content-Type"))
	if rq.r.ContentLength == 0 || kind != formType && kind != "application/json" {
		return said, nil
	}
	raw, err := rq.early(clientSize)
	if err != nil {
		return said, err
	}
	if kind == "application/json" {
		var object map[string]any
		_ = json.Unmarshal(raw, &object) // what is no object has no members
		member := func(name string) string {
			text, _ := object[name].(string)
			return text
		}
		return saidClient{id: member(m.id), secret: member(m.secret), of: member(m.of)}, nil
	}
	form, _ := url.ParseQuery(string(raw)) // what can be read of it; whoever reads the body says the rest
	for _, name := range [...]string{m.id, m.secret, m.assertion} {
		if len(form[name]) > 1 {
			return said, problem.New(problem.InvalidRequest, "The body names the client, or what it proves itself with, more than once.")
		}
	}
	said = saidClient{id: form.Get(m.id), secret: form.Get(m.secret)}
	if m.assertion != "" {
		said.assertion, said.kind = form.Get(m.assertion), form.Get(m.assertion+"_type")
	}
	return said, nil
}

// early reads the body, as it was sent, before it is known whose it is. It can be read again.
func (rq *request) early(most size) ([]byte, error) {
	if rq.r.ContentLength > most.sent {
		return nil, bodyTooLarge(most.sent)
	}
	var raw bytes.Buffer
	if err := rq.take(&raw, rq.r.Body, most.sent); err != nil {
		return nil, bodyFault(err)
	}
	rq.r.Body = io.NopCloser(bytes.NewReader(raw.Bytes()))
	return raw.Bytes(), nil
}
