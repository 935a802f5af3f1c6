// Package dataset owns tables that users define: what a dataset is, what a record of it must be, what makes a record the
// same as another, records in, rows out, and loading files.
//
//	define: JSON Schema and the columns of the index, or a file to infer them from -> Dataset -> Store
//	write:  JSON or a line of a file -> Schema -> Record -> Records.Write (durable when it returns)
//	read:   key, subkey, range, filter -> Selection -> Records.Read
//
// A record is known by its index: key, subkey and date. Of two records with one index the first stays, or the second takes
// its place, as the writer says; writing a record again therefore changes nothing, and a batch that was answered with an
// error can be sent again. The values of the index are never changed.
//
// It declares what it stands on: Store keeps definitions, Records keeps records. It does not own who may do what (access,
// gate), what a request costs beyond how many records it is about (package api asks Credits), nor running jobs (job).
//
// Problems: invalid_json, invalid_field, invalid_request, not_found, conflict, precondition_failed, result_too_large,
// unavailable, storage_full.
package dataset

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/view"
)

// Limits on datasets and what is in them.
const (
	MaxDatasets    = 1000      // of an environment
	MaxProperties  = 500       // of a schema
	MaxName        = 128       // bytes of a property's name
	MaxText        = 2000      // characters of a title, a source and a description
	MaxRecord      = 64 << 10  // bytes of a record as JSON
	MaxIndexed     = 1500      // bytes of a value of the index
	MaxBatch       = 10_000    // records of a request
	MaxBatchBytes  = 16 << 20  // of a request
	MaxCombination = 2000      // of a dataset, a key and a subkey, in one reading
	MaxRead        = 50_000    // records of one reading
	MaxReadBytes   = 64 << 20  // of one reading
	MaxFile        = 256 << 20 // bytes of a file
)

// IDPattern is what a dataset may be called: its name stands in addresses and in statements. It is unlike events and
// persons, and does not begin like what is the system's.
const IDPattern = `^[A-Za-z][A-Za-z0-9_-]{0,63}$`

// reserved is how names of the system begin, in any case.
const reserved = "_system"

// Reserved reports whether a name is the system's.
func Reserved(name string) bool {
	return len(name) >= len(reserved) && strings.EqualFold(name[:len(reserved)], reserved)
}

// ValidID reports whether a dataset may have the name.
func ValidID(id string) bool { return view.ValidDataset(id) }

// Dataset is a definition with its name and its history. Times are UTC, to the microsecond.
type Dataset struct {
	Project     string
	Environment string
	ID          string
	UID         string // what its records are kept under; it changes when they are all replaced
	Class       access.Class
	Definition
	Revision  int64 // counts the changes from 1; 0: there is no such dataset
	CreatedAt time.Time
	CreatedBy string
	UpdatedAt time.Time
	UpdatedBy string
}

// Space is where its records are.
func (d *Dataset) Space() event.Space {
	return event.Space{Project: d.Project, Environment: d.Environment}
}

// Definition is what a dataset says of itself.
type Definition struct {
	Title       string      `json:"title,omitzero"`
	Source      string      `json:"source,omitzero"`
	Description string      `json:"description,omitzero"`
	Schema      Schema      `json:"schema"`
	Index       Index       `json:"index"`
	Email       string      `json:"email,omitzero"`       // whom to ask about it
	SmartLinks  []SmartLink `json:"smart_links,omitzero"` // see SmartLink
	SQL         string      `json:"sql,omitzero"`         // the statement whose answer its records are; empty: they are written
	Busy        string      `json:"busy,omitzero"`        // the job that is replacing its records; empty: none
}

// SmartLink says that the values of a property are those of a kind of thing that is known elsewhere too, as IEX Cloud has it.
// It is kept and told, and changes nothing.
type SmartLink struct {
	Property string `json:"property"`
	Type     string `json:"type"`
}

// MaxSmartLinks bounds them.
const MaxSmartLinks = 50

// Index names the properties whose values make a record the one it is.
type Index struct {
	Key    string `json:"key"`
	Subkey string `json:"subkey,omitzero"` // empty: records have none
	Date   string `json:"date,omitzero"`   // empty: it is when the record was written
}

// Credits is what a record read or written costs.
func Credits(class access.Class) int64 {
	if class == access.Premium {
		return premiumCredits
	}
	return coreCredits
}

// What a record costs by the class of its dataset.
const (
	coreCredits    = 1
	premiumCredits = 10
)

// ErrTaken says that another dataset of the environment has the name, or one that differs in its case only.
var ErrTaken = errors.New("dataset: the name is taken")

// Change is a dataset about to be changed, and how many there are in its environment.
type Change struct {
	Dataset
	Count  int
	Taken  bool // another has the name but for its case
	Delete bool
}

// Store keeps what datasets are.
type Store interface {
	// FindDataset gives a dataset of exactly that name, and false when there is none.
	FindDataset(ctx context.Context, project, environment, id string) (Dataset, bool, error)
	// Datasets lists those of an environment, or of all when none is named, by environment and name.
	Datasets(ctx context.Context, project, environment string) ([]Dataset, error)
	// ChangeDataset hands a dataset to change and keeps what becomes of it, with the entry of the audit. A dataset that is
	// not there has Revision 0. change may give it another ID, or set Delete; without an entry nothing is kept. It may be
	// called again. The error is ErrTaken when another has the name that it is to have.
	ChangeDataset(ctx context.Context, project, environment, id string, change func(*Change) (*audit.Entry, error)) (Dataset, error)
}

// Record is one record as it is kept. Date and Updated are UTC, to the microsecond.
type Record struct {
	Key     string
	Subkey  string
	Date    time.Time
	Updated time.Time
	Body    jsontext.Value // one JSON object
	KeyID   string         // the key that wrote it; empty: it was written before that was kept. It is in no answer
}

// Batch is records to write.
type Batch struct {
	Replace bool // one with the index of another takes its place; else it is passed over
	Records []Record
}

// Written is what became of a batch.
type Written struct {
	Ignored  []int // those that were passed over, in order
	Replaced int   // those that took the place of others, in the dataset or in the batch
}

// Records keeps records, each dataset's under its uid. What is written is durable when the call returns. Calls about one
// space happen one after another.
type Records interface {
	// WriteRecords writes all of a batch or nothing.
	WriteRecords(ctx context.Context, space event.Space, uid string, b Batch) (Written, error)
	// ReadRecords reads records in the order that the selection says, at most MaxRead and MaxReadBytes of them; more says
	// that there would be more.
	ReadRecords(ctx context.Context, space event.Space, uid string, s Selection) (list []Record, more bool, err error)
	// DeleteRecords deletes what a selection's keys, subkeys, dates and conditions fit, and says how many there were.
	DeleteRecords(ctx context.Context, space event.Space, uid string, s Selection) (int64, error)
	// DropRecords deletes everything that is kept under a uid. There need not be anything.
	DropRecords(ctx context.Context, space event.Space, uid string) error
	// RecordUIDs lists the uids under which something is kept, or was.
	RecordUIDs(ctx context.Context, space event.Space) ([]string, error)
	// CountRecords counts what is kept under each of some uids.
	CountRecords(ctx context.Context, space event.Space, uids []string) (map[string]Count, error)
}

// Count is how much a dataset has.
type Count struct {
	Records int64
	Keys    int64
}

// Selection is which records. The zero Selection is all of them, newest first.
type Selection struct {
	Keys    []string    `json:"keys"`    // empty: all; in the order in which their records come
	Subkeys []string    `json:"subkeys"` // empty: all
	From    time.Time   `json:"from"`    // the date is it or later; zero: from the beginning
	Until   time.Time   `json:"until"`   // the date is before it; zero: to the end
	DateOf  string      `json:"date_of"` // the property whose date is meant; empty: the index's
	Since   time.Time   `json:"since"`   // written at it or later; zero: ever
	Where   []Condition `json:"where"`
	Oldest  bool        `json:"oldest"`   // count from the oldest
	Offset  int64       `json:"offset"`   // records passed over of each key, or combination of key and subkey, that is named
	Most    int64       `json:"most"`     // records of each key or combination, or of all when none is named; 0: all
	Every   int64       `json:"every"`    // only each n-th of each; 0: all
	Upwards bool        `json:"upwards"`  // the oldest comes first
	ByIndex bool        `json:"by_index"` // ordered by the index, and After is where to go on
	After   *Place      `json:"after"`    // only those behind a place in the order of the index
	Ceiling int         `json:"ceiling"`  // records at the most; 0: MaxRead
}

// Place is a place in the order of the index.
type Place struct {
	Key    string    `json:"key"`
	Subkey string    `json:"subkey"`
	Date   time.Time `json:"date"`
}

// Op compares a property with values.
type Op string

// The ops. None holds for what is not there, or is not of the property's type.
const (
	Equal        Op = "="
	NotEqual     Op = "!="
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	In           Op = "in"
)

// Condition is a comparison of a property. The values are written as what Of says: a number as JSON writes it, a date as
// RFC 3339 does.
type Condition struct {
	Property string   `json:"property"`
	Of       Type     `json:"of"`
	Op       Op       `json:"op"`
	Values   []string `json:"values"`
}
