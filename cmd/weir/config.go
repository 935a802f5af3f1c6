package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/proxy"
	"github.com/weir-analytics/weir/internal/token"
)

// config is the server's configuration. Its zero values are never used: every setting has a default.
type config struct {
	Data          string
	Listen        string
	MetricsListen string // empty: no metrics listener
	PublicURL     string
	Hosts         []string
	LogLevel      slog.Level
	LogFormat     string

	TrustedProxies   []netip.Prefix
	ForwardedHeader  proxy.Header
	ProxyProtocol    []netip.Prefix
	Cleartext        cleartext
	MasterKeyFile    string      // empty: in the data folder
	MasterKeyCommand []string    // empty: none
	MasterKey        access.Text // from the environment; empty: none
	Declared         []keyring.Record

	TokenLifetime time.Duration

	Store     string // URL; the scheme chooses the engine
	Journal   string
	Warehouse string

	WarehouseMemory  int64
	WarehouseThreads int
	PromotedColumns  int
	QueryTime        time.Duration
	QueryRows        int64
	QueryBytes       int64
	CreditRows       int64
	CreditBytes      int64
	QueryConcurrency int
	QueryQueue       int
	CacheMemory      int64
	CacheDisk        int64
	QueryPerProject  int
	QueryPerKey      int
	MetricsBytes     int64
	HistorySQL       bool
	HistoryTime      time.Duration
	HistoryQueries   int
	ResultTime       time.Duration
	ResultBytes      int64
	Results          int
	RecordingBytes   int64
	RecordingDays    int // 0: for ever
	RejectedBytes    int64
	RejectedDays     int // 0: for ever
	WebhookAllow     []netip.Prefix
	ExportBytes      int64
	ExportTime       time.Duration
	ExportRetention  time.Duration
	LoadInterval     time.Duration
	DiskReserve      int64
	TraceEndpoint    string
	Profiling        bool
	Without          []compat.System // other systems whose routes are not there
	StopTime         time.Duration
}

// setting is one line of the configuration: a flag, a variable, a key of the file and a part of the documentation.
type setting struct {
	name     string // as a flag; the variable is WEIR_ and the name in capitals, the key has underscores
	standard string
	help     string
	set      func(*config, string) error
}

func (s *setting) variable() string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

func (s *setting) key() string { return strings.ReplaceAll(s.name, "-", "_") }

// settings lists every setting there is.
func settings() []setting {
	return []setting{
		{"data", "./weir-data", "folder that everything is kept in",
			func(c *config, v string) error { c.Data = v; return notEmpty(v) }},
		{"listen", "127.0.0.1:8787", "address to serve the API on",
			func(c *config, v string) error { c.Listen = v; return isAddress(v) }},
		{"metrics-listen", "127.0.0.1:8788", "address to serve Prometheus metrics on, without a key; empty: none",
			func(c *config, v string) error { c.MetricsListen = v; return isAddressOrEmpty(v) }},
		{"public-url", "", "address clients reach the server at, such as https://weir.example.com",
			func(c *config, v string) error {
				c.PublicURL = strings.TrimSuffix(v, "/")
				return isWebAddressOrEmpty(v)
			}},
		{"hosts", "", "host names answered to, separated by commas; by default the loopback names on a loopback address, else all",
			func(c *config, v string) error { c.Hosts = listOf(v); return nil }},
		{"trusted-proxies", "", "addresses and ranges, separated by commas, of the proxies whose word on who sent a request counts",
			func(c *config, v string) (err error) {
				c.TrustedProxies, err = proxy.ParseTrusted(listOf(v))
				return err
			}},
		{"forwarded-header", "none", "the one header in which they say it: none, Forwarded or X-Forwarded-For",
			func(c *config, v string) error {
				var ok bool
				if c.ForwardedHeader, ok = proxy.ParseHeader(v); !ok {
					return fmt.Errorf("must be none, Forwarded or X-Forwarded-For, is %q", v)
				}
				return nil
			}},
		{"proxy-protocol", "", "addresses and ranges, separated by commas, that begin each connection with the PROXY protocol, version 1 or 2",
			func(c *config, v string) (err error) {
				c.ProxyProtocol, err = proxy.ParseTrusted(listOf(v))
				return err
			}},
		{"cleartext-credentials", "reject+notify", "what becomes of a key that a trusted proxy says came over plain HTTP: reject, reject+notify (mark it as exposed), reject+revoke, or allow",
			func(c *config, v string) error {
				c.Cleartext = cleartext(v)
				return oneOf(v, string(cleartextReject), string(cleartextNotify), string(cleartextRevoke), string(cleartextAllow))
			}},
		{"master-key-file", "", "file with the master key that signing secrets are encrypted under, mode 0600; by default master.key in the data folder, made when it is needed. $WEIR_MASTER_KEY, the key itself, goes before it",
			func(c *config, v string) error { c.MasterKeyFile = v; return nil }},
		{"master-key-command", "", "command that prints the master key, its words separated by spaces; goes before the file",
			func(c *config, v string) error { c.MasterKeyCommand = strings.Fields(v); return nil }},
		{"token-lifetime", "15m", "how long an access token lives whose request does not say, from 1m to 1h",
			func(c *config, v string) (err error) {
				c.TokenLifetime, err = timeOf(v, token.MinLifetime, token.MaxLifetime)
				return err
			}},
		{"log-level", "info", "what to log: debug, info, warn or error",
			func(c *config, v string) error { return c.LogLevel.UnmarshalText([]byte(v)) }},
		{"log-format", "json", "how to log: json or text",
			func(c *config, v string) error { c.LogFormat = v; return oneOf(v, "json", "text") }},
		{"store", standardStore, "where control data is kept; without a path, in the data folder",
			func(c *config, v string) error { c.Store = v; return hasScheme(v, storeSchemes()) }},
		{"journal", standardJournal, "where events are made durable; without a path, in the data folder",
			func(c *config, v string) error { c.Journal = v; return hasScheme(v, journalSchemes()) }},
		{"warehouse", standardWarehouse, "where events are queried; without a path, in the data folder",
			func(c *config, v string) error { c.Warehouse = v; return hasScheme(v, warehouseSchemes()) }},
		{"warehouse-memory", "0", "memory of the query process, such as 4GiB; 0: half of the machine's",
			func(c *config, v string) (err error) { c.WarehouseMemory, err = sizeOf(v); return err }},
		{"warehouse-threads", "0", "threads of the query process; 0: as many as processors",
			func(c *config, v string) (err error) { c.WarehouseThreads, err = countOf(v, 0, 1024); return err }},
		{"warehouse-promoted-columns", "32", "properties of an environment that may become columns of their own when they are asked for often; 0: none",
			func(c *config, v string) (err error) { c.PromotedColumns, err = countOf(v, 0, 256); return err }},
		{"query-time", "30s", "the longest a query may take",
			func(c *config, v string) (err error) {
				c.QueryTime, err = timeOf(v, time.Millisecond, time.Hour)
				return err
			}},
		{"query-rows", "100000", "the most rows a query may answer",
			func(c *config, v string) error {
				n, err := countOf(v, 1, 100_000_000)
				c.QueryRows = int64(n)
				return err
			}},
		{"query-bytes", "64MiB", "the largest answer of a query",
			func(c *config, v string) (err error) { c.QueryBytes, err = sizeOf(v); return err }},
		{"credit-rows", "1000", "a query costs one credit more for each so many rows of its answer; 0: rows cost nothing",
			func(c *config, v string) error {
				n, err := countOf(v, 0, 100_000_000)
				c.CreditRows = int64(n)
				return err
			}},
		{"credit-bytes", "1MiB", "and one more for each so many bytes of it; 0: bytes cost nothing",
			func(c *config, v string) (err error) { c.CreditBytes, err = sizeOf(v); return err }},
		{"query-concurrency", "4", "queries that may run at once",
			func(c *config, v string) (err error) { c.QueryConcurrency, err = countOf(v, 1, 256); return err }},
		{"query-per-project", "0", "of those, how many may be of one project; 0: all where it is alone when the server starts, else three quarters",
			func(c *config, v string) (err error) { c.QueryPerProject, err = countOf(v, 0, 256); return err }},
		{"query-per-key", "0", "how many may be of one key; 0: half",
			func(c *config, v string) (err error) { c.QueryPerKey, err = countOf(v, 0, 256); return err }},
		{"query-queue", "64", "queries that may wait for their turn",
			func(c *config, v string) (err error) { c.QueryQueue, err = countOf(v, 0, 10_000); return err }},
		{"cache-memory", "64MiB", "memory for kept answers of queries; 0: none",
			func(c *config, v string) (err error) { c.CacheMemory, err = sizeOf(v); return err }},
		{"cache-disk", "1GiB", "disk for kept answers that have no room in memory or are larger than 1 MiB; 0: none",
			func(c *config, v string) (err error) { c.CacheDisk, err = sizeOf(v); return err }},
		{"metrics-bytes", "64MiB", "bytes that the definitions of a project's metrics may have, all versions together; at least 1MiB",
			func(c *config, v string) (err error) {
				if c.MetricsBytes, err = sizeOf(v); err == nil && c.MetricsBytes < 1<<20 {
					err = errors.New("must be at least 1MiB")
				}
				return err
			}},
		{"query-history", "1000", "queries of a project that are kept in its history",
			func(c *config, v string) (err error) { c.HistoryQueries, err = countOf(v, 1, 1_000_000); return err }},
		{"query-history-time", "720h", "how long they are kept",
			func(c *config, v string) (err error) {
				c.HistoryTime, err = timeOf(v, time.Minute, 10*365*24*time.Hour)
				return err
			}},
		{"query-history-sql", "true", "keep in the history what was asked, at most 4 KiB of each statement: true or false",
			func(c *config, v string) error { c.HistorySQL = v == "true"; return oneOf(v, "true", "false") }},
		{"query-result-time", "15m", "how long the result of a query in the background can be fetched",
			func(c *config, v string) (err error) {
				c.ResultTime, err = timeOf(v, time.Second, 7*24*time.Hour)
				return err
			}},
		{"query-results", "100", "queries in the background that a project may have, running or with a result that can be fetched",
			func(c *config, v string) (err error) { c.Results, err = countOf(v, 1, 100_000); return err }},
		{"query-result-bytes", "1GiB", "size of the results that a project may have; older ones make room",
			func(c *config, v string) (err error) { c.ResultBytes, err = sizeOf(v); return err }},
		{"recording-bytes", "10GiB", "disk that the recordings of a project may take, compressed; 0: none are taken",
			func(c *config, v string) (err error) { c.RecordingBytes, err = sizeOf(v); return err }},
		{"recording-retention-days", "0", "days that a recording is kept after its latest chunk; 0: for ever",
			func(c *config, v string) (err error) { c.RecordingDays, err = countOf(v, 0, 36_500); return err }},
		{"rejected-bytes", "16MiB", "disk that a project's events that were not accepted may take; 0: none are kept",
			func(c *config, v string) (err error) { c.RejectedBytes, err = sizeOf(v); return err }},
		{"rejected-retention-days", "14", "days that an event is kept that was not accepted; 0: for ever",
			func(c *config, v string) (err error) { c.RejectedDays, err = countOf(v, 0, 36_500); return err }},
		{"webhook-allow", "", "addresses and ranges, separated by commas, that workflows may send to although they are not on the public Internet, in cleartext too",
			func(c *config, v string) (err error) { c.WebhookAllow, err = proxy.ParseTrusted(listOf(v)); return err }},
		{"export-bytes", "10GiB", "disk that the files of a project's exports may take together",
			func(c *config, v string) (err error) {
				if c.ExportBytes, err = sizeOf(v); err == nil && c.ExportBytes == 0 {
					err = errors.New("must be more than 0")
				}
				return err
			}},
		{"export-time", "1h", "the longest an export may take",
			func(c *config, v string) (err error) {
				c.ExportTime, err = timeOf(v, time.Second, 7*24*time.Hour)
				return err
			}},
		{"export-retention", "72h", "how long the file of an export can be fetched",
			func(c *config, v string) (err error) {
				c.ExportRetention, err = timeOf(v, time.Minute, 7*24*time.Hour)
				return err
			}},
		{"load-interval", "200ms", "the shortest time between two loads; events can be queried when they are loaded",
			func(c *config, v string) (err error) {
				c.LoadInterval, err = timeOf(v, time.Millisecond, time.Minute)
				return err
			}},
		{"disk-reserve", "64MiB", "free disk below which events are refused, so that what was accepted can be worked on",
			func(c *config, v string) (err error) { c.DiskReserve, err = sizeOf(v); return err }},
		{"trace-endpoint", "", "address of an OpenTelemetry collector that takes OTLP over HTTP; empty: no traces",
			func(c *config, v string) error { c.TraceEndpoint = v; return isWebAddressOrEmpty(v) }},
		{"compat-altertable", "true", "serve POST /track, /identify and /alias, which clients of Altertable use, and this program's own tools, GET /altertable.js, and the routes of its lakehouse: true or false",
			func(c *config, v string) error { return c.compat(compat.Altertable, v) }},
		{"compat-composite", "true", "serve the routes that Composite's library uses: true or false",
			func(c *config, v string) error { return c.compat(compat.Composite, v) }},
		{"compat-userflux", "true", "serve the routes that UserFlux's clients use: true or false",
			func(c *config, v string) error { return c.compat(compat.UserFlux, v) }},
		{"compat-segment", "true", "serve the routes that Segment's clients use: true or false",
			func(c *config, v string) error { return c.compat(compat.Segment, v) }},
		{"compat-iex", "true", "serve the routes that clients of IEX Cloud use: true or false",
			func(c *config, v string) error { return c.compat(compat.IEX, v) }},
		{"profiling", "false", "serve Go profiles under /debug/pprof on the metrics address: true or false",
			func(c *config, v string) error { c.Profiling = v == "true"; return oneOf(v, "true", "false") }},
		{"stop-time", "20s", "how long a stop may take to finish what is under way",
			func(c *config, v string) (err error) { c.StopTime, err = timeOf(v, 0, time.Hour); return err }},
	}
}

// compat reads whether another system's routes are served.
func (c *config) compat(of compat.System, v string) error {
	if v == "false" {
		c.Without = append(c.Without, of)
	}
	return oneOf(v, "true", "false")
}

// readConfig gathers the settings: a flag that was given wins over a variable, that over the file, that over the
// default. All faults are reported at once.
func readConfig(flags map[string]string, env func(string) (string, bool), file string) (config, error) {
	inFile, declared, faults := readFile(file)
	var c config
	c.Declared = declared
	if key, ok := env("WEIR_MASTER_KEY"); ok && key != "" {
		c.MasterKey = access.SecretText(key)
	}
	for _, s := range settings() {
		value, from := s.standard, "default"
		if v, ok := inFile[s.key()]; ok {
			value, from = v, file+": "+s.key()
		}
		if v, ok := env(s.variable()); ok {
			value, from = v, s.variable()
		}
		if v, ok := flags[s.name]; ok {
			value, from = v, "--"+s.name
		}
		if err := s.set(&c, value); err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", from, err))
		}
	}
	if (len(c.TrustedProxies) == 0) != (c.ForwardedHeader == proxy.NoHeader) {
		faults = append(faults, "trusted-proxies and forwarded-header go together: one without the other does nothing")
	}
	if len(faults) > 0 {
		return c, &usageError{"the configuration has faults:\n  " + strings.Join(faults, "\n  ")}
	}
	return c, nil
}

// cleartext is what becomes of a credential that came over plain HTTP.
type cleartext string

const (
	cleartextReject cleartext = "reject"
	cleartextNotify cleartext = "reject+notify"
	cleartextRevoke cleartext = "reject+revoke"
	cleartextAllow  cleartext = "allow"
)

// readFile reads the settings and the declared keys in a TOML file. A key that is no setting is a fault, and so is a
// value that is no plain value or list of texts.
func readFile(path string) (values map[string]string, declared []keyring.Record, faults []string) {
	if path == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, []string{err.Error()}
	}
	raw := map[string]any{}
	if err := toml.Unmarshal(text, &raw); err != nil {
		if parse, ok := errors.AsType[toml.ParseError](err); ok {
			return nil, nil, []string{fmt.Sprintf("%s: line %d: %s", path, parse.Position.Line, parse.Message)}
		}
		return nil, nil, []string{fmt.Sprintf("%s: %v", path, err)}
	}
	if list, ok := raw["keys"]; ok {
		declared, faults = readDeclared(list)
		for i := range faults {
			faults[i] = path + ": " + faults[i]
		}
		delete(raw, "keys")
	}
	known := map[string]bool{}
	for _, s := range settings() {
		known[s.key()] = true
	}
	values = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		value, ok := plainText(raw[key])
		switch {
		case !known[key]:
			faults = append(faults, fmt.Sprintf("%s: %s: is not a setting", path, key))
		case !ok:
			faults = append(faults, fmt.Sprintf("%s: %s: must be a plain value or a list of texts", path, key))
		default:
			values[key] = value
		}
	}
	return values, declared, faults
}

func plainText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case bool:
		return strconv.FormatBool(v), true
	case []any:
		texts := make([]string, len(v))
		for i, element := range v {
			text, ok := element.(string)
			if !ok {
				return "", false
			}
			texts[i] = text
		}
		return strings.Join(texts, ","), true
	}
	return "", false
}

// issuerURL is what access tokens are from and for: the public address, or without one that of the listener, as this
// machine sees it.
func issuerURL(cfg config) string {
	if cfg.PublicURL != "" {
		return cfg.PublicURL
	}
	host, port, _ := net.SplitHostPort(cfg.Listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func notEmpty(v string) error {
	if v == "" {
		return errors.New("must not be empty")
	}
	return nil
}

func oneOf(v string, choices ...string) error {
	if !slices.Contains(choices, v) {
		return fmt.Errorf("must be %s, is %q", strings.Join(choices, " or "), v)
	}
	return nil
}

func hasScheme(v string, schemes []string) error {
	scheme, _, ok := strings.Cut(v, ":")
	if !ok {
		return fmt.Errorf("must be a URL with one of the schemes %s, is %q", strings.Join(schemes, ", "), v)
	}
	if !slices.Contains(schemes, scheme) {
		return fmt.Errorf("the scheme must be one of %s, is %q", strings.Join(schemes, ", "), scheme)
	}
	return nil
}

func isAddress(v string) error {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("must be host:port, is %q", v)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("the port must be from 0 to 65535, is %q", port)
	}
	return nil
}

func isAddressOrEmpty(v string) error {
	if v == "" {
		return nil
	}
	return isAddress(v)
}

func isWebAddressOrEmpty(v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("must be an address such as https://weir.example.com, is %q", v)
	}
	return nil
}

func listOf(v string) []string {
	var list []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func countOf(v string, least, most int) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("must be a whole number from %d to %d, is %q", least, most, v)
	}
	return n, nil
}

func timeOf(v string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("must be a time from %s to %s, such as 30s, is %q", least, most, v)
	}
	return d, nil
}

// sizeOf reads a number of bytes, with KiB, MiB or GiB behind it or nothing.
func sizeOf(v string) (int64, error) {
	number, factor := v, int64(1)
	for unit, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(v, unit); ok {
			number, factor = rest, size
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return 0, fmt.Errorf("must be a size such as 64MiB or 4GiB, is %q", v)
	}
	return n * factor, nil
}
