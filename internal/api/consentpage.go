package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/problem"
)

// consentStyle is all that a page of consent looks like. The policy of the page allows this and no other.
const consentStyle = `body{font:16px/1.6 system-ui,sans-serif;max-width:38rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}h1{font-size:1.5rem;line-height:1.3}` +
	`label{display:block;font-weight:600;margin:1.5rem 0 .3rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid #767676;border-radius:.3rem}` +
	`button{font:inherit;padding:.6rem 1.2rem;margin:1rem .8rem 0 0;border:1px solid #1a4d8f;border-radius:.3rem;background:#1a4d8f;color:#fff}button.no{background:#fff;color:#1a4d8f}` +
	`.wrong{border-left:.3rem solid #b00020;padding:.3rem .8rem;background:#fdecee}code{background:#eee;padding:.1em .3em;overflow-wrap:anywhere}li{margin:.3rem 0}small{color:#555}`

var consentPage = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Let {{.Name}} in?</title><style>` + consentStyle + `</style></head>
<body><main>
<h1>Let <bdi>{{.Name}}</bdi> in?</h1>
{{with .Says}}<p class="wrong" role="alert">{{.}}</p>{{end}}
<p><bdi>{{.Name}}</bdi> asks to use data of your project. Nobody here has checked who is behind that name. When you have decided, you are sent to <strong>{{.Host}}</strong>.</p>
<p>It asks to be able to:</p>
<ul>{{range .Rights}}<li>{{.Says}} <small><code>{{.Name}}</code></small></li>{{end}}</ul>
<p>{{if .Environments}}Only in: {{range $i, $e := .Environments}}{{if $i}}, {{end}}<code>{{$e}}</code>{{end}}.{{else}}In every environment with {{.Mode}} data that your key may use.{{end}}
It gets no more than the key has that you enter, and what narrows that key narrows the app.</p>
<p>This ends on <strong>{{.Until}}</strong> at the latest, and with your key. To end it before, look at <code>/v1/connected-apps</code>, or use <code>weir apps</code>.</p>
<form method="post" action="authorize" autocomplete="off">
{{range .Hidden}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<label for="key">Your secret key, which needs the right <code>keys:write</code></label>
<input id="key" name="key" type="password" required maxlength="200" autocomplete="off" spellcheck="false" placeholder="sk_{{.Mode}}_…">
<small>It is used once, now, to let the app in. It is not kept, and the app does not get it.</small>
<div><button type="submit">Let it in</button><button class="no" type="submit" formaction="authorize/deny" formnovalidate>Do not</button></div>
</form>
</main></body></html>
`))

var faultPage = template.Must(template.New("fault").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title><style>` + consentStyle + `</style></head>
<body><main><h1>This app cannot be let in</h1><p class="wrong" role="alert">{{.Detail}}</p><p>You were not sent back, and nothing was given to anybody. Tell whoever made the app.</p>
<p><small><code>{{.Code}}</code> · request <code>{{.Request}}</code></small></p></main></body></html>
`))

// right is a right in plain words.
type right struct{ Name, Says string }

// rightsSaid are the rights in plain words: what somebody who lets an app in gives away.
func rightsSaid() map[access.Scopes]string {
	return map[access.Scopes]string{
		access.EventsWrite: "Send events, as your own programs do.", access.EventsRead: "Read the events that were sent, one by one.",
		access.UsersWrite: "Say who your users are, and change what is known of them.", access.UsersRead: "Read what is known of your users.",
		access.ProjectsWrite: "Change the settings of the project, also those that keep its keys in bounds.", access.ProjectsRead: "Read the settings of the project.",
		access.TeamWrite: "Change who is in the team.", access.TeamRead: "See who is in the team.",
		access.BillingRead: "See what is paid.", access.BillingWrite: "Change what is paid, and how.",
		access.KeysRead:     "See the project's keys, without their secrets.",
		access.DatasetsRead: "Read the records of datasets.", access.DatasetsWrite: "Add and change records of datasets.", access.DatasetsDelete: "Delete records of datasets.",
		access.MetricsRead: "See which metrics there are and how they are computed.", access.MetricsWrite: "Change metrics, which others run.", access.MetricsRun: "Run the project's metrics and read their answers.",
		access.SQLRun:          "Ask any question about the events and users, in SQL, and read the answers.",
		access.RecordingsWrite: "Send recordings of sessions.", access.RecordingsRead: "Watch recordings of sessions.", access.RecordingsDelete: "Delete recordings of sessions.",
		access.RejectedRead: "Read the events that were not accepted.", access.RejectedWrite: "Send events again that were not accepted.",
		access.WorkflowsRun: "Start workflows.", access.WorkflowsRead: "See workflows, and what became of them.", access.WorkflowsWrite: "Create, change and delete workflows.", access.ExportsRun: "Take data out in bulk.", access.DataDelete: "Delete data, for good.",
		access.AuditRead: "See who did what with the project, and what was denied.",
	}
}

func rightsOf(scopes access.Scopes) (list []right) {
	said := rightsSaid()
	for _, name := range scopes.Names() {
		one := access.ScopesOf([]string{name})
		list = append(list, right{name, said[one]})
	}
	return list
}

// field is a member of the form that the person does not see.
type field struct{ Name, Value string }

// writeConsent answers with the page that asks a person.
func (rq *request) writeConsent(asked *app.Asked, values url.Values, status int, says string) error {
	project, found := rq.a.cfg.Keys.Project(asked.App.Project)
	if !found {
		return notFound()
	}
	var hidden []field
	for _, name := range app.Parameters() {
		for _, value := range values[name] {
			hidden = append(hidden, field{name, value})
		}
	}
	return rq.writePage(consentPage, status, app.Source(asked.Redirect), map[string]any{
		"Name": asked.App.Name, "Host": app.Host(asked.Redirect), "Rights": rightsOf(asked.Scopes), "Environments": asked.Environments, "Mode": asked.App.Mode.String(),
		"Until": app.Until(project, nil, rq.a.cfg.Now()).Format("2 January 2006"), "Hidden": hidden, "Says": access.HideKeysIn(says),
	})
}

// writeFault answers with a page that says what is wrong, and sends nobody anywhere.
func (rq *request) writeFault(p *problem.Error) error {
	return rq.writePage(faultPage, p.Status(), "", map[string]any{
		"Title": p.Code.Row().Title, "Detail": access.HideKeysIn(p.Detail), "Code": string(p.Code), "Request": rq.id,
	})
}

// writePage answers with a page that runs no script, loads nothing, is in no frame, and sends forms to this server, and from
// there to where the form may send the person. The Referrer-Policy is same-origin since with no-referrer a browser does not say
// which page a form is from.
func (rq *request) writePage(page *template.Template, status int, sendsTo string, data any) error {
	var out bytes.Buffer
	if err := page.Execute(&out, data); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(consentStyle))
	header := rq.reply.Header()
	if sendsTo != "" {
		sendsTo = " 'self' " + sendsTo
	} else {
		sendsTo = " 'none'"
	}
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; form-action"+sendsTo+
		"; frame-ancestors 'none'; base-uri 'none'")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Content-Type", "text/html; charset=utf-8")
	rq.reply.WriteHeader(status)
	if rq.r.Method == http.MethodHead {
		return nil
	}
	if _, err := rq.reply.Write(out.Bytes()); err != nil {
		rq.line.cause = err // the person is gone
	}
	return nil
}
