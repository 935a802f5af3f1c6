package workflow

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/mention"
)

// Names reports whether a body of the workflow's deliveries names one of some ids in what whoever triggered it brought in. What
// stands in every body, as the names of the standard one and the texts of the template, names nobody.
func (w *Workflow) Names(who mention.IDs, body string) bool {
	if w.Template != "" {
		return who.InSent(jsontext.Value(body), mention.Texts(jsontext.Value(w.Template)))
	}
	if !w.Webhook() {
		return who.InSent(jsontext.Value(body), nil)
	}
	var sent struct {
		Type string `json:"type"`
		Data struct {
			Variables jsontext.Value `json:"variables"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &sent); err != nil || sent.Type != standardType { // of a template that it had before
		return who.InSent(jsontext.Value(body), nil)
	}
	return who.InSent(sent.Data.Variables, nil) // whom it is about, the delivery says: an id is no part of another id
}

// standardType is the type of the standard body.
const standardType = "workflow.triggered"
