package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/signature"
	"github.com/weir-analytics/weir/internal/token"
)

// sending is how a request is sent: with which key, where to, and with what around it.
type sending struct {
	key     madeKey
	of      *project // whose key it is meant to be about; nil: the matrix's own
	site    *site    // nil: the world's own
	query   string   // the parameter that has the key; empty: it is in a header
	parent  string   // of a client, the id of the key that it comes of
	headers []string
	sign    func(t *testing.T, q *http.Request, body []byte)
}

// credentials are the columns of testdata/matrix.txt: each says how a request is sent to a route.
var credentials = map[string]func(*matrix, api.Route) sending{
	"none":      func(*matrix, api.Route) sending { return sending{} },
	"malformed": func(*matrix, api.Route) sending { return text("let-me-in") },
	"mistyped":  func(*matrix, api.Route) sending { return text("sk_live_3fQ9xT0aLmZkThisIsAnExampleNotASecret000hfanX") },
	"unknown":   func(*matrix, api.Route) sending { return text(unknownKey) },
	"revoked":   func(m *matrix, _ api.Route) sending { return m.described("secret live all, revoked") },
	"expired":   func(m *matrix, _ api.Route) sending { return m.described("secret live all, expired") },
	"public":    func(m *matrix, _ api.Route) sending { return m.described("public live") },
	"without": func(m *matrix, r api.Route) sending {
		return m.described("secret live " + (access.AllScopes &^ (r.Action.Scope() | r.Action.Instead())).String())
	},
	"exactly": func(m *matrix, r api.Route) sending {
		return m.described("secret live " + orAny(r.Action.Scope()).String())
	},
	"caged":    func(m *matrix, _ api.Route) sending { return m.described("secret live all in staging") },
	"test":     func(m *matrix, _ api.Route) sending { return m.described("secret test all") },
	"stranger": func(m *matrix, _ api.Route) sending { return sending{key: m.key(m.other, "secret live all")} },
	"in-query": func(m *matrix, _ api.Route) sending {
		s := m.described("secret live all")
		s.query = "apiKey"
		return s
	},
	"operator": func(m *matrix, _ api.Route) sending { return m.described("operator") },

	"disabled":    func(m *matrix, _ api.Route) sending { return m.described("secret live all, disabled") },
	"quarantined": func(m *matrix, _ api.Route) sending { return m.described("secret live all, quarantined") },
	"early":       func(m *matrix, _ api.Route) sending { return m.described("secret live all, early") },
	"graced":      func(m *matrix, _ api.Route) sending { return m.described("secret live all, graced") },
	"replaced":    func(m *matrix, _ api.Route) sending { return m.described("secret live all, replaced") },
	"old":         func(m *matrix, _ api.Route) sending { return sending{key: m.key(m.ageing, "secret live all, old")} },
	"elsewhere": func(m *matrix, _ api.Route) sending {
		return sending{key: m.shaped("elsewhere", everything(access.Bounds{Networks: []access.Network{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}}}))}
	},
	"page": func(m *matrix, _ api.Route) sending {
		n := keyring.New{Kind: access.Public, Mode: access.Live, Bounds: access.Bounds{Domains: []access.Domain{{Host: "shop.example"}}}}
		return sending{key: m.shaped("page", n), headers: []string{"Origin", "https://shop.example.evil.example"}}
	},
	"browser": func(m *matrix, _ api.Route) sending {
		s := m.described("secret live all")
		s.headers = []string{"Sec-Fetch-Site", "none"}
		return s
	},
	"clear": func(m *matrix, _ api.Route) sending {
		s := m.described("secret live all")
		s.site, s.headers = m.own.w.proxied, []string{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "http"}
		return s
	},
	"clear-bad": func(m *matrix, _ api.Route) sending {
		s := text(unknownKey)
		s.site, s.headers = m.own.w.proxied, []string{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "http"}
		return s
	},
	"observed": func(m *matrix, _ api.Route) sending {
		b := access.Bounds{
			Environments: []string{"staging"}, Networks: []access.Network{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}}, Events: []string{"B"},
			Signature: true, NotBefore: m.own.w.clock.Now().Add(time.Hour), Observe: access.Observable,
		}
		return sending{key: m.shaped("observed", everything(b))}
	},

	"client":      func(m *matrix, _ api.Route) sending { return m.client("of every scope") },
	"token":       func(m *matrix, _ api.Route) sending { return m.token(m.client("of every scope"), nil) },
	"token-other": func(*matrix, api.Route) sending { return text("eyJhbGciOiJFZERTQSJ9.e30.c2ln") },
	"token-dead":  func(m *matrix, _ api.Route) sending { return m.token(m.client("revoked"), nil) },
	"token-fewer": func(m *matrix, route api.Route) sending {
		return m.token(m.client("of every scope"), func(r *token.Request) { r.Scopes = access.AllScopes &^ (route.Action.Scope() | route.Action.Instead()) })
	},
	"token-caged": func(m *matrix, _ api.Route) sending {
		return m.token(m.client("of every scope"), func(r *token.Request) { r.Bounds.Environments = []string{"staging"} })
	},
	"token-query": func(m *matrix, _ api.Route) sending {
		s := m.token(m.client("of every scope"), nil)
		s.query = "token"
		return s
	},
	"token-page": func(m *matrix, _ api.Route) sending {
		s := m.token(m.client("of every scope"), nil)
		s.headers = []string{"Sec-Fetch-Site", "none"}
		return s
	},
	"embedded": func(m *matrix, _ api.Route) sending {
		s := m.token(m.clientOf(m.shows, "of every scope"), func(r *token.Request) { r.Embedded = true })
		s.of, s.headers = m.shows, []string{"Sec-Fetch-Site", "none"}
		return s
	},

	"unsigned":  func(m *matrix, _ api.Route) sending { return sending{key: m.signing()} },
	"missigned": func(m *matrix, _ api.Route) sending { return m.signed(false) },
	"signed":    func(m *matrix, _ api.Route) sending { return m.signed(true) },
	"must-sign": func(m *matrix, _ api.Route) sending { return sending{key: m.key(m.signers, "secret live all")} },
	"unfenced":  func(m *matrix, _ api.Route) sending { return sending{key: m.key(m.fenced, "secret live all")} },
	"over":      func(m *matrix, _ api.Route) sending { return sending{key: m.key(m.low, "secret live all")} },
	"limited": func(m *matrix, _ api.Route) sending {
		return sending{key: m.key(m.busy, "secret live all"), of: m.busy}
	},
	"broke": func(m *matrix, _ api.Route) sending {
		return sending{key: m.key(m.poor, "secret live all"), of: m.poor}
	},
}

var unknownKey = access.WriteKey(access.Secret, access.Live, strings.Repeat("0", access.LookupLength), strings.Repeat("0", access.SecretLength))

func text(key string) sending { return sending{key: madeKey{text: key}} }

// everything is a secret live key with every scope, within bounds.
func everything(b access.Bounds) keyring.New {
	return keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Bounds: b}
}

// orAny is the scope, or one that does not matter for an action that needs none: a key holds one at least.
func orAny(s access.Scopes) access.Scopes {
	if s == 0 {
		return access.EventsRead
	}
	return s
}

// verdicts are the words of the table.
var verdicts = map[string]string{
	"+": "", "no-key": "401 missing_credential", "form": "401 malformed_key", "no": "401 key_not_accepted", "url": "401 secret_key_in_url",
	"scope": "403 missing_scope", "env": "403 environment_not_allowed", "wide": "403 grant_too_wide", "gone": "404 not_found",
	"public": "403 public_key_not_enough", "quarantine": "403 key_quarantined", "net": "403 network_not_allowed", "page": "403 domain_not_allowed",
	"browser": "403 secret_key_in_browser", "clear": "403 cleartext_credential", "plain": "400 invalid_request", "sign": "401 signature_required", "wrong": "401 signature_invalid",
	"ceiling": "403 project_ceiling", "kind": "403 wrong_credential", "token": "401 token_not_accepted", "limit": "429 rate_limited", "one": "403 one_project_only", "broke": "402 credits_exhausted",
}

// wishes are well-formed requests, one for each route; SUBJECT stands for the id of a live key of the project, METRIC for
// that of a metric of it, APP for an app of it, CONNECTED for what one was let in with, and SCOPE for the scope of the route. A wish about an environment names production.
var wishes = map[string]struct{ path, body string }{
	"POST /track":                            {"/track", `{"event":"A","environment":"production"}`},
	"POST /identify":                         {"/identify", `{"distinct_id":"u_1","environment":"production"}`},
	"POST /alias":                            {"/alias", `{"distinct_id":"u_1","new_user_id":"u_2","environment":"production"}`},
	"POST /v1/events":                        {"/v1/events", `{"name":"A","environment":"production"}`},
	"POST /v1/events/batch":                  {"/v1/events/batch", `[{"name":"A","environment":"production"}]`},
	"POST /v1/query":                         {"/v1/query", `{"sql":"SELECT 1","environment":"production"}`},
	"POST /v1/query/validate":                {"/v1/query/validate", `{"sql":"SELECT 1","environment":"production"}`},
	"POST /v1/query/autocomplete":            {"/v1/query/autocomplete", `{"sql":"SELECT ev","environment":"production"}`},
	"GET /v1/query/schema":                   {"/v1/query/schema?environment=production", ""},
	"POST /v1/queries":                       {"/v1/queries", `{"sql":"SELECT 1","environment":"production"}`},
	"GET /v1/queries":                        {"/v1/queries", ""},
	"GET /v1/queries/{query_id}":             {"/v1/queries/qry_0", ""},
	"DELETE /v1/queries/{query_id}":          {"/v1/queries/qry_0", ""},
	"GET /v1/queries/{query_id}/result":      {"/v1/queries/qry_0/result", ""},
	"POST /query":                            {"/query", `{"statement":"SELECT 1","catalog":"production"}`},
	"POST /validate":                         {"/validate", `{"statement":"SELECT 1","catalog":"production"}`},
	"GET /query/{query_id}":                  {"/query/qry_0", ""},
	"DELETE /query/{query_id}":               {"/query/qry_0", ""},
	"POST /append":                           {"/append?catalog=production&table=NONE", `[{"k":"a"}]`},
	"GET /tasks/{task_id}":                   {"/tasks/job_0", ""},
	"POST /upload":                           {"/upload?catalog=production&table=NONE&mode=append", `[{"k":"a"}]`},
	"POST /upsert":                           {"/upsert?catalog=production&table=NONE&primary_key=k", `[{"k":"a"}]`},
	"GET /v1/grafana/{environment}":          {"/v1/grafana/production", ""},
	"POST /v1/grafana/{environment}/metrics": {"/v1/grafana/production/metrics", `{}`},
	"POST /v1/grafana/{environment}/metric-payload-options":         {"/v1/grafana/production/metric-payload-options", `{"name":"format"}`},
	"POST /v1/grafana/{environment}/search":                         {"/v1/grafana/production/search", `{}`},
	"POST /v1/grafana/{environment}/query":                          {"/v1/grafana/production/query", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"},"targets":[{"payload":{"sql":"SELECT 1"}}]}`},
	"POST /v1/grafana/{environment}/variable":                       {"/v1/grafana/production/variable", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"},"payload":{"sql":"SELECT 1"}}`},
	"GET /v1/grafana-metrics/{environment}":                         {"/v1/grafana-metrics/production", ""},
	"POST /v1/grafana-metrics/{environment}/metrics":                {"/v1/grafana-metrics/production/metrics", `{}`},
	"POST /v1/grafana-metrics/{environment}/metric-payload-options": {"/v1/grafana-metrics/production/metric-payload-options", `{"name":"format"}`},
	"POST /v1/grafana-metrics/{environment}/query":                  {"/v1/grafana-metrics/production/query", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"},"targets":[{"target":"METRIC"}]}`},
	"POST /v1/grafana-metrics/{environment}/variable":               {"/v1/grafana-metrics/production/variable", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"},"payload":{"target":"METRIC"}}`},
	"POST /v1/grafana/{environment}/annotations":                    {"/v1/grafana/production/annotations", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"},"annotation":{"query":"SELECT now() AS time"}}`},
	"GET /v1/events":                              {"/v1/events?environment=production", ""},
	"GET /v1/events/stream":                       {"/v1/events/stream?environment=production", ""},
	"GET /v1/users":                               {"/v1/users?environment=production", ""},
	"GET /v1/users/{id}":                          {"/v1/users/nobody?environment=production", ""},
	"PATCH /v1/users/{id}":                        {"/v1/users/u_1", `{"traits":{"plan":"pro"},"environment":"production"}`},
	"DELETE /v1/users/{id}":                       {"/v1/users/nobody?environment=production", ""},
	"GET /v1/users/{id}/events":                   {"/v1/users/u_1/events?environment=production", ""},
	"POST /v1/users/{id}/token":                   {"/v1/users/u_1/token", `{"environment":"production"}`},
	"GET /v1/metrics":                             {"/v1/metrics", ""},
	"PUT /v1/metrics/{id}":                        {"/v1/metrics/made", `{"definition":{"sql":"SELECT 1"},"environment":"production"}`},
	"GET /v1/metrics/{id}":                        {"/v1/metrics/METRIC", ""},
	"GET /v1/metrics/{id}/versions":               {"/v1/metrics/METRIC/versions", ""},
	"POST /v1/metrics/{id}/publish":               {"/v1/metrics/METRIC/publish", `{"version":1,"environment":"production"}`},
	"DELETE /v1/metrics/{id}":                     {"/v1/metrics/METRIC", ""},
	"POST /v1/metrics/{id}/query":                 {"/v1/metrics/METRIC/query", `{"environment":"production"}`},
	"POST /v1/metrics/test":                       {"/v1/metrics/test", `{"definition":{"sql":"SELECT 1"},"environment":"production"}`},
	"POST /metrics/query/{metricId}":              {"/metrics/query/METRIC", `{}`},
	"POST /metrics/query":                         {"/metrics/query", `{"encodedQuery":"U0VMRUNUIDE="}`},
	"POST /v1/keys":                               {"/v1/keys", `{"kind":"secret","scopes":["SCOPE"]}`},
	"GET /v1/keys":                                {"/v1/keys", ""},
	"GET /v1/keys/{id}":                           {"/v1/keys/SUBJECT", ""},
	"PATCH /v1/keys/{id}":                         {"/v1/keys/SUBJECT", `{"label":"changed"}`},
	"DELETE /v1/keys/{id}":                        {"/v1/keys/SUBJECT", ""},
	"POST /v1/keys/{id}/rotate":                   {"/v1/keys/SUBJECT/rotate", ""},
	"POST /v1/keys/{id}/disable":                  {"/v1/keys/SUBJECT/disable", ""},
	"POST /v1/keys/{id}/quarantine":               {"/v1/keys/SUBJECT/quarantine", ""},
	"POST /v1/keys/{id}/restore":                  {"/v1/keys/SUBJECT/restore", ""},
	"POST /v1/keys/{id}/signing-secret":           {"/v1/keys/SUBJECT/signing-secret", ""},
	"POST /v1/keys/hand-over":                     {"/v1/keys/hand-over", `{"from":"ana","to":"ben"}`},
	"GET /v1/project/policy":                      {"/v1/project/policy", ""},
	"PATCH /v1/project/policy":                    {"/v1/project/policy", `{}`},
	"GET /v1/denials":                             {"/v1/denials", ""},
	"GET /v1/usage":                               {"/v1/usage", ""},
	"GET /v1/keys/{id}/clients":                   {"/v1/keys/SUBJECT/clients", ""},
	"GET /v1/keys/{id}/shapes":                    {"/v1/keys/SUBJECT/shapes", ""},
	"GET /v1/audit":                               {"/v1/audit", ""},
	"POST /v1/access/explain":                     {"/v1/access/explain", `{"key_id":"SUBJECT","action":"hold_key"}`},
	"GET /v1/limits":                              {"/v1/limits", ""},
	"GET /v1/whoami":                              {"/v1/whoami", ""},
	"DELETE /v1/whoami":                           {"/v1/whoami", ""},
	"POST /v1/oauth/token":                        {"/v1/oauth/token", "grant_type=client_credentials"},
	"POST /v1/oauth/revoke":                       {"/v1/oauth/revoke", "token=none"},
	"POST /v1/oauth/introspect":                   {"/v1/oauth/introspect", "token=none"},
	"POST /metrics/auth/token":                    {"/metrics/auth/token", `{"clientSecret":"SECRET","environmentApiKey":"PARENT"}`},
	"GET /v1/oauth/jwks":                          {"/v1/oauth/jwks", ""},
	"GET /.well-known/oauth-authorization-server": {"/.well-known/oauth-authorization-server", ""},
	"GET /.well-known/oauth-protected-resource":   {"/.well-known/oauth-protected-resource", ""},
	"GET /healthz":                                {"/healthz", ""},
	"GET /readyz":                                 {"/readyz", ""},
	"GET /openapi.json":                           {"/openapi.json", ""},
	"GET /weir.js":                                {"/weir.js", ""},
	"GET /altertable.js":                          {"/altertable.js", ""},
	"GET /docs":                                   {"/docs", ""},
	"GET /docs/{asset}":                           {"/docs/favicon-16x16.png", ""},
	"GET /problems/{code}":                        {"/problems/not_found", ""},

	"GET /v1/datasets/{workspace}":                                {"/v1/datasets/production", ""},
	"POST /v1/datasets/{workspace}":                               {"/v1/datasets/production", `{"datasetId":"DUNIQUE","schema":{"type":"object","properties":{"k":{"type":"string"}}},"columnMapping":{"key":"k"}}`},
	"GET /v1/datasets/{workspace}/{dataset}":                      {"/v1/datasets/production/NONE", ""},
	"PATCH /v1/datasets/{workspace}/{dataset}":                    {"/v1/datasets/production/NONE", `{}`},
	"POST /v1/datasets/{workspace}/{dataset}":                     {"/v1/datasets/production/NONE", `{}`},
	"PUT /v1/datasets/{workspace}/{dataset}/{newId}":              {"/v1/datasets/production/NONE/OTHER", ""},
	"DELETE /v1/datasets/{workspace}/{dataset}":                   {"/v1/datasets/production/NONE", ""},
	"POST /v1/record/{workspace}/{dataset}":                       {"/v1/record/production/NONE", `[{"k":"a"}]`},
	"POST /product":                                               {"/product?environment=production", `{"id":"p","typeId":"NONE","properties":{}}`},
	"DELETE /product/{typeId}/{productId}":                        {"/product/NONE/p?environment=production", ""},
	"GET /v1/data/{workspace}":                                    {"/v1/data/production", ""},
	"GET /v1/data/{workspace}/{dataset}":                          {"/v1/data/production/NONE", ""},
	"GET /v1/data/{workspace}/{dataset}/{key}":                    {"/v1/data/production/NONE/a", ""},
	"GET /v1/data/{workspace}/{dataset}/{key}/{subkey}":           {"/v1/data/production/NONE/a/b", ""},
	"DELETE /v1/data/{workspace}/{dataset}/{key}":                 {"/v1/data/production/NONE/a", ""},
	"DELETE /v1/data/{workspace}/{dataset}/{key}/{subkey}":        {"/v1/data/production/NONE/a/b", ""},
	"DELETE /v1/data/{workspace}/{dataset}/{key}/{subkey}/{date}": {"/v1/data/production/NONE/a/b/2026-01-31", ""},
	"POST /v1/data/{workspace}/{dataset}":                         {"/v1/data/production/NONE", `[{"k":"a"}]`},
	"POST /v1/generate-schema":                                    {"/v1/generate-schema", `[{"k":"a"}]`},
	"GET /v1/jobs/{workspace}/{type}":                             {"/v1/jobs/production/ingest", ""},
	"GET /v1/jobs/{workspace}/{type}/{id}":                        {"/v1/jobs/production/ingest/job_0", ""},
	"DELETE /v1/jobs/{workspace}/{type}/{id}":                     {"/v1/jobs/production/ingest/job_0", ""},
	"POST /v1/jobs/{workspace}/{type}/{id}":                       {"/v1/jobs/production/ingest/job_0", ""},
	"GET /v1/jobs/{workspace}/{type}/{id}/rejected":               {"/v1/jobs/production/ingest/job_0/rejected", ""},
	"GET /v1/stream/{workspace}/{dataset}":                        {"/v1/stream/production/NONE", ""},

	"POST /v1/apps":                  {"/v1/apps", `{"name":"Made","redirect_uris":["https://made.example/back"]}`},
	"GET /v1/apps":                   {"/v1/apps", ""},
	"DELETE /v1/apps/{id}":           {"/v1/apps/APP", ""},
	"GET /v1/connected-apps":         {"/v1/connected-apps", ""},
	"DELETE /v1/connected-apps/{id}": {"/v1/connected-apps/CONNECTED", ""},
	"GET /v1/oauth/authorize":        {"/v1/oauth/authorize?" + askedOfAPP, ""},
	"POST /v1/oauth/authorize":       {"/v1/oauth/authorize", askedOfAPP},
	"POST /v1/oauth/authorize/deny":  {"/v1/oauth/authorize/deny", askedOfAPP},

	"POST /event/ingest":             {"/event/ingest", `{"name":"A","environment":"production"}`},
	"POST /event/ingest/batch":       {"/event/ingest/batch", `{"events":[{"name":"A","environment":"production"}]}`},
	"GET /profile/{userId}":          {"/profile/nobody?environment=production", ""},
	"POST /profile":                  {"/profile", `{"userId":"u_1","environment":"production"}`},
	"POST /ingest/e":                 {"/ingest/e", `{"name":"A","environment":"production"}`},
	"POST /ingest/batch":             {"/ingest/batch", `[{"name":"sys_identify","distinct_id":"u_1","environment":"production"}]`},
	"POST /v1/track":                 {"/v1/track", `{"event":"A","environment":"production"}`},
	"POST /v1/page":                  {"/v1/page", `{"name":"A","environment":"production"}`},
	"POST /v1/screen":                {"/v1/screen", `{"name":"A","environment":"production"}`},
	"POST /v1/group":                 {"/v1/group", `{"groupId":"g_1","environment":"production"}`},
	"POST /v1/identify":              {"/v1/identify", `{"userId":"u_1","environment":"production"}`},
	"POST /v1/alias":                 {"/v1/alias", `{"previousId":"u_1","userId":"u_2","environment":"production"}`},
	"POST /v1/batch":                 {"/v1/batch", `{"batch":[{"type":"track","event":"A","environment":"production"}]}`},
	"GET /v1/account/metadata":       {"/v1/account/metadata", ""},
	"GET /v1/account/usage":          {"/v1/account/usage", ""},
	"GET /v1/account/usage/{type}":   {"/v1/account/usage/messages", ""},
	"POST /v1/account/messagebudget": {"/v1/account/messagebudget?allow=false", ""},
	"GET /v1/status":                 {"/v1/status", ""},

	"POST /v1/recordings":                 {"/v1/recordings", `{"session_id":"s","sequence":0,"environment":"production","events":[{"type":0,"timestamp":1}]}`},
	"GET /v1/recordings":                  {"/v1/recordings?environment=production", ""},
	"GET /v1/recordings/{session}":        {"/v1/recordings/none?environment=production", ""},
	"GET /v1/recordings/{session}/events": {"/v1/recordings/none/events?environment=production", ""},
	"DELETE /v1/recordings/{session}":     {"/v1/recordings/none?environment=production", ""},
	"GET /v1/rejected":                    {"/v1/rejected?environment=production", ""},
	"POST /v1/rejected":                   {"/v1/rejected", `{"environment":"production","all":true}`},
	"POST /v1/exports":                    {"/v1/exports", `{"of":"events","environment":"production"}`},
	"GET /v1/exports":                     {"/v1/exports", ""},
	"GET /v1/exports/{id}":                {"/v1/exports/job_NONE", ""},
	"DELETE /v1/exports/{id}":             {"/v1/exports/job_NONE", ""},
	"POST /v1/exports/{id}/link":          {"/v1/exports/job_NONE/link", ""},
	"GET /v1/exports/{id}/file":           {"/v1/exports/job_NONE/file", ""},
	"POST /v1/deletions":                  {"/v1/deletions", `{"environment":"production","person":"nobody"}`},
	"GET /v1/deletions":                   {"/v1/deletions?environment=production", ""},
	"GET /v1/deletions/{id}":              {"/v1/deletions/none?environment=production", ""},
	"GET /recordings/player":              {"/recordings/player", ""},
	"GET /recordings/player.js":           {"/recordings/player.js", ""},
	"GET /recordings/player.css":          {"/recordings/player.css", ""},
	"POST /v1/members/sessions":           {"/v1/members/sessions", `{"email":"EMAIL","password":"PASSWORD"}`},
	"POST /v1/members/sessions/renew":     {"/v1/members/sessions/renew", `{"refresh_token":"SESSION"}`},
	"POST /v1/members/sessions/password":  {"/v1/members/sessions/password", `{"email":"EMAIL","password":"PASSWORD","new_password":"PASSWORD"}`},
	"POST /v1/members/sessions/end":       {"/v1/members/sessions/end", `{"refresh_token":"SESSION"}`},
	"GET /v1/roles":                       {"/v1/roles", ""},
	"GET /v1/members":                     {"/v1/members", ""},
	"PATCH /v1/members/{id}":              {"/v1/members/mem_0", `{"role":"viewer"}`},
	"DELETE /v1/members/{id}":             {"/v1/members/mem_0", ""},
	"POST /v1/invitations":                {"/v1/invitations", `{"email":"ana@example.com","role":"ROLE"}`},
	"GET /v1/invitations":                 {"/v1/invitations", ""},
	"DELETE /v1/invitations/{id}":         {"/v1/invitations/inv_0", ""},
	"POST /v1/invitations/accept":         {"/v1/invitations/accept", `{"token":"INVITATION","name":"Ana","password":"PASSWORD"}`},
	"GET /v1/projects":                    {"/v1/projects", ""},
	"POST /v1/projects":                   {"/v1/projects", `{"name":"made"}`},
	"PATCH /v1/projects/{id}":             {"/v1/projects/prj_0", `{"name":"renamed"}`},
	"DELETE /v1/projects/{id}":            {"/v1/projects/prj_0?confirm=default", ""},
	"GET /v1/organization":                {"/v1/organization", ""},
	"PATCH /v1/organization":              {"/v1/organization", `{"name":"renamed"}`},
	"GET /v1/environments":                {"/v1/environments", ""},
	"GET /v1/environments/{name}":         {"/v1/environments/production", ""},
	"POST /v1/environments":               {"/v1/environments", `{"name":"ENVIRONMENT","mode":"live"}`},
	"PATCH /v1/environments/{name}":       {"/v1/environments/production", `{"description":"what counts"}`},
	"DELETE /v1/environments/{name}":      {"/v1/environments/moon", ""},
	"GET /v1/project/config":              {"/v1/project/config", ""},
	"PATCH /v1/project/config":            {"/v1/project/config", `{}`},
	"GET /v1/billing/usage":               {"/v1/billing/usage", ""},
	"GET /v1/billing/budget":              {"/v1/billing/budget", ""},
	"PUT /v1/billing/budget":              {"/v1/billing/budget", `{"events":1000000}`},

	"GET /v1/workflows":                                    {"/v1/workflows?environment=production", ""},
	"POST /v1/workflows":                                   {"/v1/workflows", `{"environment":"production","url":"https://hooks.example.com/x"}`},
	"GET /v1/workflows/{id}":                               {"/v1/workflows/none?environment=production", ""},
	"PATCH /v1/workflows/{id}":                             {"/v1/workflows/none?environment=production", `{"name":"x"}`},
	"DELETE /v1/workflows/{id}":                            {"/v1/workflows/none?environment=production", ""},
	"POST /v1/workflows/{id}/secret":                       {"/v1/workflows/none/secret?environment=production", ""},
	"POST /v1/workflows/{id}/trigger":                      {"/v1/workflows/none/trigger?environment=production", `{"variables":{}}`},
	"GET /v1/workflows/{id}/deliveries":                    {"/v1/workflows/none/deliveries?environment=production", ""},
	"POST /v1/workflows/{id}/deliveries/{delivery}/replay": {"/v1/workflows/none/deliveries/none/replay?environment=production", ""},
	"POST /workflow/trigger":                               {"/workflow/trigger", `{"triggerId":"none"}`},
}

// matrix is some projects with keys, each made once.
type matrix struct {
	own, other *project
	ageing     *project // secrets may be a day old
	signers    *project // requires signatures
	fenced     *project // requires networks
	low        *project // allows projects:read only
	busy       *project // has used up its requests of the day
	poor       *project // has used up its credits of the month
	shows      *project // lets embedded tokens come from pages
	made       map[string]madeKey
}

func newMatrix(t *testing.T) *matrix {
	w := open(t).apart(t)
	m := &matrix{
		own: w.project(t), other: w.project(t), ageing: w.project(t), signers: w.project(t), fenced: w.project(t), low: w.project(t),
		busy: w.project(t), poor: w.project(t), shows: w.project(t), made: map[string]madeKey{},
	}
	for p, ceiling := range map[*project]access.Ceiling{
		m.ageing: {MaxLifetime: 24 * time.Hour}, m.signers: {RequireSignature: true}, m.fenced: {RequireNetworks: true}, m.low: {Scopes: access.ProjectsRead},
	} {
		p.policy(access.Policy{Public: ceiling, Secret: ceiling})
	}
	m.shows.policy(access.Policy{EmbeddedTokens: true})
	m.key(m.ageing, "secret live all, old") // now, since it takes a day
	m.busy.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 1}}})
	m.poor.policy(access.Policy{Limits: access.Limits{Credits: access.Quota{Most: 1}}})
	for _, p := range []*project{m.busy, m.poor} {
		w.site.call(t, "POST", "/v1/query", strings.NewReader(`{"sql":"SELECT 1"}`), "X-API-Key", p.key("secret live all").text) // uses it up
	}
	return m
}

// key gives a project's key, always the same for the same description.
func (m *matrix) key(p *project, description string) madeKey {
	name := p.id + " " + description
	if m.made[name].text == "" {
		m.made[name] = p.key(description)
		if strings.HasSuffix(description, ", old") {
			p.w.clock.Advance(24 * time.Hour)
		}
	}
	return m.made[name]
}

// forget lets keys be made anew: the last request may have revoked its own.
func (m *matrix) forget() {
	maps.DeleteFunc(m.made, func(name string, _ madeKey) bool { return !strings.HasSuffix(name, ", old") })
}

func (m *matrix) described(description string) sending {
	return sending{key: m.key(m.own, description)}
}

// shaped gives a key of any shape, always the same for the same name.
func (m *matrix) shaped(name string, n keyring.New) madeKey {
	if m.made[name].text == "" {
		m.made[name] = m.own.make(n)
	}
	return m.made[name]
}

// client is a client of a key with every scope of the matrix's own project, always the same for the same name.
func (m *matrix) client(name string) sending { return m.clientOf(m.own, name) }

func (m *matrix) clientOf(p *project, name string) sending {
	name = p.id + " client " + name
	if m.made[name].text == "" {
		parent, _ := p.w.ring.Peek(p.id, m.key(p, "secret live all").id)
		m.made[name] = p.make(keyring.New{Kind: access.Client, Parent: parent})
	}
	client, _ := p.w.ring.Peek(p.id, m.made[name].id)
	return sending{key: m.made[name], parent: client.Parent.ID}
}

// token is a token of a client, as it is now; of one that is called revoked, from before it was.
func (m *matrix) token(client sending, edit func(*token.Request)) sending {
	text := m.own.w.token(m.own.t, client.key.id, edit)
	if client.key.id == m.made[m.own.id+" client revoked"].id {
		m.own.end(client.key, "revoked")
	}
	return sending{key: madeKey{id: client.key.id, text: text}}
}

// signing is a key that demands signatures.
func (m *matrix) signing() madeKey {
	return m.shaped("signing", everything(access.Bounds{Signature: true}))
}

// signed is a request that is signed, rightly or for another method.
func (m *matrix) signed(right bool) sending {
	s := sending{key: m.signing()}
	s.sign = func(t *testing.T, q *http.Request, body []byte) {
		signer := signature.Signer{KeyID: s.key.id, Secret: s.key.signing}
		sent := *q
		if !right {
			sent.Method = http.MethodTrace
		}
		if err := signer.Sign(&sent, body, m.own.w.clock.Now(), rand.Text()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Promise: every route has a tested verdict for every kind of credential, and a new route without one fails.
func TestEveryRouteForEveryCredential(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	tables := readMatrix(t)
	given, columns := 0, []string{}
	for _, table := range tables {
		columns = append(columns, table.columns...)
	}
	if want := slices.Sorted(maps.Keys(credentials)); !slices.Equal(slices.Sorted(slices.Values(columns)), want) {
		t.Fatalf("the tables have the columns %v, the test %v", slices.Sorted(slices.Values(columns)), want)
	}
	for _, table := range tables {
		unheard := maps.Clone(table.rows)
		for _, route := range routes(t) {
			name := route.Method + " " + route.Path
			row, known := table.rows[name]
			wish, wished := wishes[name]
			if !known || !wished {
				t.Errorf("the route %s has no verdicts in testdata/matrix.txt for %v, or no wish here", name, table.columns)
				continue
			}
			delete(unheard, name)
			for i, column := range table.columns {
				if i == 0 || route.Action == access.RevokeSelf {
					m.forget()
				}
				given++
				want := verdicts[row[i]]
				if route.Action.ForClients() {
					want = inOAuth(want)
				}
				if got := m.verdict(t, route, wish.path, wish.body, credentials[column](m, route)); got != want {
					t.Errorf("%s with a credential that is %s: %q, want %q", name, column, got, want)
				}
			}
		}
		for name := range unheard {
			t.Errorf("the table has verdicts for %s, which is no route", name)
		}
	}
	t.Logf("%d verdicts", given)
}

// inOAuth is a verdict with the status that OAuth has for it.
func inOAuth(verdict string) string {
	if verdict == "403 wrong_credential" {
		return "401 wrong_credential"
	}
	return strings.Replace(verdict, "403 ", "400 ", 1)
}

// verdict sends a wish and gives what came of it: empty for yes, or the status and code of the problem.
func (m *matrix) verdict(t *testing.T, route api.Route, path, body string, s sending) string {
	t.Helper()
	owner := s.of
	if owner == nil {
		owner = m.own
	}
	if strings.Contains(path+body, "METRIC") {
		id := owner.metric("counted", `{"sql":"SELECT 1"}`)
		path, body = strings.ReplaceAll(path, "METRIC", id), strings.ReplaceAll(body, "METRIC", id)
	}
	if strings.Contains(path+body, "APP") {
		one := owner.app(!strings.Contains(path, "APP"))
		path, body = strings.ReplaceAll(path, "APP", one), strings.ReplaceAll(body, "APP", one)
	}
	if strings.Contains(path, "CONNECTED") {
		path = strings.ReplaceAll(path, "CONNECTED", owner.connected())
	}
	if strings.Contains(path+body, "SUBJECT") {
		id := owner.key("public live").id
		path, body = strings.ReplaceAll(path, "SUBJECT", id), strings.ReplaceAll(body, "SUBJECT", id)
	}
	body = strings.ReplaceAll(body, "UNIQUE", newSuffix())
	body = strings.ReplaceAll(body, "SCOPE", route.Action.Scope().String())
	body = strings.ReplaceAll(body, "SECRET", s.key.text)
	body = owner.people(body, s.key.text == "")
	if s.parent != "" {
		body = strings.ReplaceAll(body, "PARENT", s.parent)
	}
	at := s.site
	if at == nil {
		at = m.own.w.site
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // which ends a stream
	q, err := http.NewRequestWithContext(ctx, route.Method, at.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if s.query != "" {
		values := q.URL.Query()
		values.Set(s.query, s.key.text)
		q.URL.RawQuery = values.Encode()
	} else if s.key.text != "" {
		q.Header.Set("X-API-Key", s.key.text)
	}
	if body != "" && body[0] != '{' && body[0] != '[' {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(s.headers); i += 2 {
		q.Header.Set(s.headers[i], s.headers[i+1])
	}
	if s.sign != nil {
		s.sign(t, q, []byte(body))
	}
	answer, err := at.send(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode < 400 {
		return ""
	}
	if code := answer.Header.Get("Weir-Problem"); code != "" {
		return fmt.Sprintf("%d %s", answer.StatusCode, code)
	}
	var problem struct{ Code string }
	if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil {
		return fmt.Sprint(answer.StatusCode, " ", err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, problem.Code)
}

// routes lists the API's rows.
func routes(t *testing.T) []api.Route {
	t.Helper()
	a, err := api.New(api.Config{Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return a.Routes()
}

// verdictTable is one table of the file: its columns, and each route's words.
type verdictTable struct {
	columns []string
	rows    map[string][]string
}

func readMatrix(t *testing.T) (tables []verdictTable) {
	t.Helper()
	text, err := os.ReadFile("testdata/matrix.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "route" {
			tables = append(tables, verdictTable{columns: words[1:], rows: map[string][]string{}})
			continue
		}
		if len(tables) == 0 || len(words) == 0 || words[0] != strings.ToUpper(words[0]) {
			continue
		}
		table := tables[len(tables)-1]
		if len(words) != len(table.columns)+2 {
			t.Fatalf("a row has %d verdicts and not %d: %s", len(words)-2, len(table.columns), line)
		}
		for _, word := range words[2:] {
			if _, known := verdicts[word]; !known {
				t.Fatalf("%q is no verdict: %s", word, line)
			}
		}
		table.rows[words[0]+" "+words[1]] = words[2:]
	}
	return tables
}
