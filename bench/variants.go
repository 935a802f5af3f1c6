package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// event is the body of every request: about 300 bytes.
const event = `{"environment":"production","event":"Button Clicked","distinct_id":"user-8123","anonymous_id":null,` +
	`"session_id":"session-0191b3a2","device_id":"device-77aa","timestamp":"2026-11-22T03:38:30.319Z",` +
	`"properties":{"page":"pricing","plan":"pro","$lib":"bench","$url":"https://example.com/pricing","value":12.5}}`

// variant is one way to serve the same requests. A new one is a row in variants.
type variant struct {
	name  string
	start func(*bench) (*server, error) // starts the server
	key   func(*server) (string, error) // makes the key of the requests, or finds it
	head  func(key string) header       // dresses the requests of one connection
}

// header gives the lines, each with its end, that carry the key of the next request with the body event.
type header func() string

// variants are what is measured beside the floor.
func variants() []variant {
	return []variant{
		{name: "public key", start: (*bench).startWeir, key: publicKey, head: inHeader},
		{name: "narrow key", start: (*bench).startWeir, key: narrowKey, head: inHeader},
	}
}

// bare is the floor: the least that a server in net/http can do with the requests.
func bare() variant {
	return variant{
		name: "bare handler", start: (*bench).startFloor,
		key:  func(*server) (string, error) { return "none", nil },
		head: inHeader,
	}
}

func names() []string {
	var all []string
	for _, v := range variants() {
		all = append(all, v.name)
	}
	return all
}

// inHeader sends the key in X-API-Key, the same in every request.
func inHeader(key string) header {
	line := "X-API-Key: " + key + "\r\n"
	return func() string { return line }
}

// publicKey is the key of the first start.
func publicKey(s *server) (string, error) { return s.made.PublicKey, nil }

// narrowKey is a secret key with all that a key can be narrowed by and the requests still pass.
func narrowKey(s *server) (string, error) {
	return s.makeKey(map[string]any{
		"kind": "secret", "mode": "live", "label": "bench", "scopes": []string{"events:write"}, "environments": []string{"production"},
		"expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
	})
}

// makeKey makes a key through the API, with the secret key of the first start.
func (s *server) makeKey(what map[string]any) (string, error) {
	body, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+"/v1/keys", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-API-Key", s.made.SecretKey)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return "", err
	}
	var made struct {
		Key string `json:"key"`
	}
	if answer.StatusCode != http.StatusCreated || json.Unmarshal(text, &made) != nil || made.Key == "" {
		return "", fmt.Errorf("making a key was answered %d %s", answer.StatusCode, text)
	}
	return made.Key, nil
}
