package api

import (
	"net/http"

	"github.com/go-json-experiment/json"
)

// writeJSON answers with a value as JSON, or with no body for a status that has none.
func (rq *request) writeJSON(status int, value any) error {
	if status == http.StatusNoContent {
		rq.reply.WriteHeader(status)
		return nil
	}
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return err
	}
	return rq.writeText(status, text)
}

// writeText answers with a JSON text.
func (rq *request) writeText(status int, text []byte) error {
	rq.reply.Header()["Content-Type"] = jsonType
	rq.reply.WriteHeader(status)
	if _, err := rq.reply.Write(append(text, '\n')); err != nil {
		rq.line.cause = err // the caller is gone; nobody is left to be told
	}
	return nil
}

var jsonType = []string{"application/json"}
