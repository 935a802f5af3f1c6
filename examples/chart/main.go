// Command chart shows a named metric as a chart on a page of its own. It is the back end that a metric needs: it holds the
// secret of a client, exchanges it for short-lived tokens, and asks; the page never sees either.
//
//	chart -url http://127.0.0.1:8787 -client key_… -secret cs_live_… -metric signups
//
// With -embed the page asks by itself, with a token of five minutes that can do nothing but run metrics; the project's
// policy must have embedded_tokens for it.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

//go:embed page.html
var page []byte

//go:embed chart.js
var script []byte

// settings are what the program is told.
type settings struct {
	weir, client, secret, metric string
	variables                    json.RawMessage
	environment                  string
	embed                        bool
}

func main() {
	var s settings
	listen := flag.String("listen", "127.0.0.1:8090", "address to serve the page at")
	flag.StringVar(&s.weir, "url", cmp.Or(os.Getenv("WEIR"), "http://127.0.0.1:8787"), "address of the server ($WEIR)")
	flag.StringVar(&s.client, "client", os.Getenv("CLIENT"), "id of the client ($CLIENT)")
	flag.StringVar(&s.secret, "secret", os.Getenv("CLIENT_SECRET"), "secret of the client ($CLIENT_SECRET)")
	flag.StringVar(&s.metric, "metric", "", "the metric to show")
	flag.StringVar(&s.environment, "environment", "production", "the environment to ask")
	variables := flag.String("variables", "{}", "values of the metric's variables, as JSON")
	flag.BoolVar(&s.embed, "embed", false, "let the page ask by itself")
	flag.Parse()
	s.variables = json.RawMessage(*variables)
	if s.client == "" || s.secret == "" || s.metric == "" || !json.Valid(s.variables) {
		flag.Usage()
		os.Exit(2)
	}
	server := &http.Server{Addr: *listen, Handler: newChart(s), ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("The chart of %s is at http://%s/\n", s.metric, *listen)
	log.Fatal(server.ListenAndServe())
}

// chart is the back end. It keeps a token until shortly before it ends.
type chart struct {
	settings
	http *http.Client

	mu    sync.Mutex
	token string
	until time.Time
}

func newChart(s settings) http.Handler {
	c := &chart{settings: s, http: &http.Client{Timeout: time.Minute}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.file("text/html; charset=utf-8", page))
	mux.HandleFunc("GET /chart.js", c.file("text/javascript; charset=utf-8", script))
	mux.HandleFunc("GET /start", c.start)
	mux.HandleFunc("GET /data", c.data)
	return mux
}

func (c *chart) file(kind string, body []byte) http.HandlerFunc {
	connect := "'self'"
	if c.embed {
		connect += " " + c.weir
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; connect-src "+connect)
		_, _ = w.Write(body)
	}
}

// start tells the page what it shows. A page that asks by itself gets a token made for it.
func (c *chart) start(w http.ResponseWriter, r *http.Request) {
	begin := beginning{Metric: c.metric, Weir: c.weir, Variables: c.variables}
	if c.embed {
		token, _, err := c.exchange(r.Context(), url.Values{"embedded": {"true"}, "lifetime": {"300"}})
		if err != nil {
			fail(w, err)
			return
		}
		begin.Token = token
	}
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, begin)
}

// beginning is what the page is told; Token is empty where the back end asks.
type beginning struct {
	Metric    string          `json:"metric"`
	Weir      string          `json:"weir"`
	Variables json.RawMessage `json:"variables"`
	Token     string          `json:"token"`
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// data runs the metric and hands on the answer.
func (c *chart) data(w http.ResponseWriter, r *http.Request) {
	token, err := c.current(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	body, err := json.Marshal(struct {
		Variables   json.RawMessage `json:"variables"`
		Environment string          `json:"environment"`
	}{c.variables, c.environment})
	if err != nil {
		fail(w, err)
		return
	}
	q, err := http.NewRequestWithContext(r.Context(), http.MethodPost, c.weir+"/v1/metrics/"+url.PathEscape(c.metric)+"/query", bytes.NewReader(body))
	if err != nil {
		fail(w, err)
		return
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+token)
	answer, err := c.http.Do(q)
	if err != nil {
		fail(w, err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	for _, name := range []string{"Content-Type", "Age", "Cache-Control"} {
		w.Header()[name] = answer.Header[name]
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

func fail(w http.ResponseWriter, err error) {
	reply(w, http.StatusBadGateway, struct {
		Detail string `json:"detail"`
	}{err.Error()})
}

// current is a token that is good for some while yet.
func (c *chart) current(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Until(c.until) > 30*time.Second {
		return c.token, nil
	}
	token, lifetime, err := c.exchange(ctx, nil)
	if err == nil {
		c.token, c.until = token, time.Now().Add(lifetime)
	}
	return token, err
}

// exchange gives the client's secret for a token: the client credentials grant of RFC 6749, section 4.4.
func (c *chart) exchange(ctx context.Context, more url.Values) (token string, lifetime time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"metrics:run"}, "environment": {c.environment}}
	maps.Copy(form, more)
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, c.weir+"/v1/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.SetBasicAuth(url.QueryEscape(c.client), url.QueryEscape(c.secret))
	answer, err := c.http.Do(q)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	var said struct {
		Token       string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&said); err != nil {
		return "", 0, err
	}
	if answer.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("no token was given: %s", said.Description)
	}
	return said.Token, time.Duration(said.ExpiresIn) * time.Second, nil
}
