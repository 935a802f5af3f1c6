// Package audit owns the record of administrative changes: who changed what, when and from where, and what it was before
// and after.
//
// An entry is stored in the transaction of the change it is about, by whoever stores that, so that neither is there
// without the other. Entries are only ever added. They hold no secret: what is shown of a key is what a list shows.
//
// Reading the record is recorded in it as well, before what was read is given.
//
// It does not own what is changed (keyring, org), who may read the record (access), nor how it is kept (it declares
// Store).
//
// Problems: invalid_field.
package audit

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// Entry is one change, or one reading of this record.
type Entry struct {
	ID           string // set by New
	At           time.Time
	Organization string
	Project      string
	Actor        string // the id of the key that asked, "operator", or "system"
	Address      netip.Addr
	RequestID    string
	Action       string // what was done, such as key.update
	Subject      string // the id of what it was done to
	Before       json.RawMessage
	After        json.RawMessage // each a JSON object, or nil
}

// System is the actor of what the program does by itself.
const System = "system"

// Of is the entry of a change that a permit allowed. before and after are marshalled; nil stands for nothing.
func Of(p gate.Permit, id, action, subject string, before, after any) Entry {
	from := p.Sender()
	actor := p.Key().ID
	if p.Key().Kind == access.Operator {
		actor = access.Operator.String()
	}
	return Entry{
		ID: id, At: p.At().UTC().Truncate(time.Microsecond), Organization: p.Organization(), Project: p.Project(), Actor: actor,
		Address: from.Address, RequestID: from.RequestID, Action: action, Subject: subject, Before: text(before), After: text(after),
	}
}

// Own is the entry of a change that the program made by itself.
func Own(at time.Time, organization, project, id, action, subject string, before, after any) Entry {
	return Entry{
		ID: id, At: at.UTC().Truncate(time.Microsecond), Organization: organization, Project: project, Actor: System,
		Action: action, Subject: subject, Before: text(before), After: text(after),
	}
}

func text(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("audit: what was changed cannot be written: %v", err)) // our own types always can
	}
	return data
}
