package weir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server stands for a server: it stores each id once, and answers as it is told to.
type server struct {
	mu     sync.Mutex
	stored []string
	seen   map[string]bool
	calls  []time.Time
	answer func(call int) (status int, header string, body string, lost bool)
}

func (s *server) RoundTrip(q *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, time.Now())
	text, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	status, header, body, lost := 200, "", `{"ok":true,"rejected":[]}`, false
	if s.answer != nil {
		status, header, body, lost = s.answer(len(s.calls))
	}
	if status == http.StatusOK {
		s.store(text)
	}
	if lost {
		return nil, errors.New("the connection was reset")
	}
	answer := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: q}
	answer.Header.Set("Retry-After", header)
	return answer, nil
}

func (s *server) store(text []byte) {
	var items []struct {
		ID string `json:"event_id"`
	}
	if err := json.Unmarshal(text, &items); err != nil {
		panic(err)
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	for _, i := range items {
		if !s.seen[i.ID] {
			s.seen[i.ID] = true
			s.stored = append(s.stored, i.ID)
		}
	}
}

func client(t *testing.T, s *server, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{URL: "http://weir.test/", Key: "pk_live_x", HTTP: &http.Client{Transport: s}}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Promise: whatever fails on the way, every item is stored once, and in the order it was told.
func TestEveryItemOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for round := range 50 {
			r, weather := rand.New(rand.NewPCG(uint64(round), 1)), rand.New(rand.NewPCG(uint64(round), 2))
			s := &server{answer: func(int) (int, string, string, bool) {
				switch weather.IntN(4) {
				case 0:
					return http.StatusServiceUnavailable, "", "", false
				case 1:
					return http.StatusOK, "", "{}", true
				case 2:
					return http.StatusTooManyRequests, strconv.Itoa(weather.IntN(20)), "", false
				}
				return http.StatusOK, "", `{"ok":true}`, false
			}}
			c := client(t, s, nil)
			var want []string
			for i := range 30 {
				id := fmt.Sprint(i)
				want = append(want, id)
				var err error
				switch r.IntN(3) {
				case 0:
					err = c.Track(Event{Name: "e", ID: id})
				case 1:
					err = c.Identify(Person{DistinctID: "u", ID: id})
				case 2:
					err = c.Alias(Alias{DistinctID: "u", NewUserID: "v", ID: id})
				}
				if err != nil {
					t.Fatal(err)
				}
				if r.IntN(3) == 0 {
					<-time.After(time.Second)
				}
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(s.stored) != fmt.Sprint(want) {
				t.Fatalf("stored are %v, want %v", s.stored, want)
			}
		}
	})
}

// Promise: the next try comes no sooner than the server asks for, in seconds or as a date.
func TestRetryAfter(t *testing.T) {
	for name, header := range map[string]func(time.Time) string{
		"seconds": func(time.Time) string { return "40" },
		"date":    func(now time.Time) string { return now.Add(40 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: func(call int) (int, string, string, bool) {
					if call == 1 {
						return http.StatusTooManyRequests, header(time.Now()), "", false
					}
					return http.StatusOK, "", "{}", false
				}}
				c := client(t, s, nil)
				if err := c.Track(Event{Name: "e"}); err != nil {
					t.Fatal(err)
				}
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if wait := s.calls[1].Sub(s.calls[0]); wait < 39*time.Second || wait > 42*time.Second {
					t.Errorf("it came again after %v", wait)
				}
			})
		})
	}
}

// Promise: what is not accepted is told, item by item, and not sent again.
func TestFailuresAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: func(call int) (int, string, string, bool) {
			if call == 1 {
				return http.StatusOK, "", `{"ok":true,"rejected":[{"index":1,"code":"invalid_field","detail":"d"},{"index":7}]}`, false
			}
			return http.StatusUnauthorized, "", `{"code":"invalid_key","detail":"no"}`, false
		}}
		var told []string
		c := client(t, s, func(cfg *Config) {
			cfg.OnError = func(f Failure) { told = append(told, fmt.Sprint(f.Status, f.Code, len(f.Items))) }
		})
		for _, id := range []string{"a", "b"} {
			if err := c.Track(Event{Name: "e", ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Track(Event{Name: "e", ID: "c"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := "[200invalid_field1 401invalid_key1]"; fmt.Sprint(told) != want || len(s.calls) != 2 {
			t.Errorf("told were %v in %d calls, want %s", told, len(s.calls), want)
		}
	})
}

// Promise: items that cannot be sent are refused at once, with an error that says why, and Close says what was lost.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: func(int) (int, string, string, bool) { return http.StatusServiceUnavailable, "", "", false }}
		c := client(t, s, func(cfg *Config) { cfg.Queue = 2 })
		for want, err := range map[error]error{
			ErrInvalid: errors.Join(c.Track(Event{}), c.Identify(Person{}), c.Alias(Alias{DistinctID: "u"}), c.Track(Event{Name: strings.Repeat("x", maxItem)})),
			nil:        errors.Join(c.Track(Event{Name: "e"}), c.Track(Event{Name: "e"})),
		} {
			if !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		}
		if err := c.Track(Event{Name: "e"}); !errors.Is(err, ErrFull) {
			t.Errorf("a full queue: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 items") {
			t.Errorf("Close: %v", err)
		}
		if err := c.Track(Event{Name: "e"}); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed client: %v", err)
		}
	})
	for _, cfg := range []Config{
		{}, {URL: "weir.example.com", Key: "pk"}, {URL: "https://weir.example.com"}, {URL: "ftp://weir.example.com", Key: "pk"},
		{URL: "https://weir.example.com", Key: "pk", Signing: &Signing{KeyID: "key_1"}}, {URL: "https://weir.example.com", Key: "pk", Signing: &Signing{Secret: "ss"}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// Promise: the key does not follow a redirect to another server; the items are told as not accepted.
func TestNoRedirect(t *testing.T) {
	asked := make(chan struct{}, 1)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	var told int
	c, err := New(Config{URL: server.URL, Key: "pk_live_x", OnError: func(f Failure) { told = f.Status }})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Track(Event{Name: "e"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil || told != http.StatusTemporaryRedirect || len(asked) != 0 {
		t.Errorf("%v, told %d, the other server was asked %d times", err, told, len(asked))
	}
}

// Promise: neither the key nor what signs is printed with the client.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := client(t, &server{}, func(cfg *Config) {
		cfg.Key, cfg.Signing = "sk_live_hidden", &Signing{KeyID: "key_1", Secret: "ss_hidden"}
	})
	defer func() { _ = c.Close(t.Context()) }()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{c, c.cfg.Signing} {
			if text := fmt.Sprintf(format, value); strings.Contains(text, "hidden") {
				t.Errorf("%s prints %s", format, text)
			}
		}
	}
}
