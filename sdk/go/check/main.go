// Command check tries the client against a server, as the tests of cmd/weir start it.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"time"

	weir "github.com/weir-analytics/weir/sdk/go"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url := os.Getenv("WEIR")
	if err := plain(ctx, weir.Config{URL: url, Key: os.Getenv("KEY")}); err != nil {
		return err
	}
	signed := weir.Config{URL: url, Key: os.Getenv("HMAC_KEY"), Signing: &weir.Signing{KeyID: os.Getenv("HMAC_ID"), Secret: os.Getenv("HMAC_SECRET")}}
	if err := one(ctx, signed, "signed hmac"); err != nil {
		return err
	}
	der, err := base64.StdEncoding.DecodeString(os.Getenv("OWN_PRIVATE"))
	if err != nil {
		return err
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	own := weir.Config{URL: url, Key: os.Getenv("OWN_KEY"), Signing: &weir.Signing{KeyID: os.Getenv("OWN_ID"), PrivateKey: private.(ed25519.PrivateKey)}}
	return one(ctx, own, "signed own")
}

// plain tells three kinds of items, and one event twice.
func plain(ctx context.Context, cfg weir.Config) error {
	var failures []weir.Failure
	cfg.OnError = func(f weir.Failure) { failures = append(failures, f) }
	c, err := weir.New(cfg)
	if err != nil {
		return err
	}
	for range 2 {
		if err := c.Track(weir.Event{Name: "told twice", DistinctID: "anonymous-1", ID: "one", Properties: map[string]any{"n": 1}}); err != nil {
			return err
		}
	}
	if err := c.Identify(weir.Person{DistinctID: "user_1", AnonymousID: "anonymous-1", Traits: map[string]any{"plan": "pro"}}); err != nil {
		return err
	}
	if err := c.Alias(weir.Alias{DistinctID: "user_1", NewUserID: "crm:1"}); err != nil {
		return err
	}
	if err := c.Track(weir.Event{Name: "elsewhere", Environment: "nowhere"}); err != nil {
		return err
	}
	if err := c.Close(ctx); err != nil {
		return err
	}
	if len(failures) != 1 || failures[0].Code != "environment_not_found" {
		return fmt.Errorf("the failures are %+v", failures)
	}
	return nil
}

// one tells one event with a client of its own.
func one(ctx context.Context, cfg weir.Config, name string) error {
	var failed error
	cfg.OnError = func(f weir.Failure) { failed = fmt.Errorf("%s: %d %s %s", name, f.Status, f.Code, f.Detail) }
	c, err := weir.New(cfg)
	if err != nil {
		return err
	}
	if err := c.Track(weir.Event{Name: name}); err != nil {
		return err
	}
	if err := c.Close(ctx); err != nil {
		return err
	}
	return failed
}
