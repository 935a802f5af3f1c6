package event

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// ReadBatch reads one JSON object or an array of them, as contracts A2 has it: fields may be missing or null, unknown
// fields are passed over, ids may be numbers. An object whose member "events" is an array is a batch of what that array
// has; its other members are passed over. What is wrong with one item is that item's problem; what is wrong with the
// text as JSON is the whole request's. But for the text of each item, the batch does not refer to
// body.
//
// Problems of the whole: invalid_json with the offset, line and column; invalid_request for an empty body;
// invalid_field for a body that is no object or array, or has no items; too_many_items. Problems of an item:
// invalid_field, event_too_large.
func ReadBatch(body []byte, shape Shape) (Batch, error) {
	if len(bytes.TrimLeft(body, whitespace)) == 0 {
		return Batch{}, problem.New(problem.InvalidRequest, "The body is empty; a JSON object or an array of objects is expected.")
	}
	r := batchReader{body: body, batch: Batch{Shape: shape}}
	if err := json.Unmarshal(body, &r); err != nil {
		return Batch{}, Unreadable(body, err)
	}
	if len(r.batch.Items) == 0 {
		return Batch{}, problem.Invalid("body", "has no items; at least one is needed")
	}
	return r.batch, nil
}

const whitespace = " \t\r\n" // of JSON

// batchReader reads the items of a batch into it. It takes the values straight out of the body, since those the decoder
// lends are good only until it goes on.
type batchReader struct {
	body  []byte
	batch Batch
}

// UnmarshalJSONFrom reads the whole body. json.Unmarshal calls it, lends it a decoder, and sees that nothing follows.
func (r *batchReader) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '{':
		return r.item(dec)
	case '[':
		return r.items(dec)
	default:
		if err := dec.SkipValue(); err != nil {
			return err
		}
		return problem.Invalid("body", "must be a JSON object or an array of objects")
	}
}

func (r *batchReader) items(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		if err := r.item(dec); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// item reads one item, or the batch an object can be instead of one. Its errors are the whole's: the text is not JSON,
// or has too many items.
func (r *batchReader) item(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '{' {
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		end := dec.InputOffset()
		return r.add(Item{Problem: problem.Invalid("item", "must be a JSON object"), Text: r.body[end-int64(len(value)) : end]})
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	start, isBatch := dec.InputOffset()-1, false
	f := fields{}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		if err != nil {
			return err
		}
		m := memberOf(name)
		if m == events && dec.StackDepth() == 1 && dec.PeekKind() == '[' {
			isBatch = true
			if err := r.items(dec); err != nil {
				return err
			}
			continue
		}
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		end := dec.InputOffset()
		f.values[m] = r.body[end-int64(len(value)) : end]
	}
	if _, err := dec.ReadToken(); err != nil || isBatch {
		return err
	}
	item := f.item(r.batch.Shape.Kind, int(dec.InputOffset()-start))
	item.Text = r.body[start:dec.InputOffset()]
	return r.add(item)
}

func (r *batchReader) add(item Item) error {
	if len(r.batch.Items) == MaxItems {
		return problem.New(problem.TooManyItems, "A batch may have at most %d items.", MaxItems)
	}
	r.batch.Items = append(r.batch.Items, item)
	return nil
}

// Unreadable turns the error of whoever decoded a body into the answer: what is wrong with it as JSON, and where. A problem
// in the error stays what it is.
func Unreadable(body []byte, err error) error {
	var p *problem.Error
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem.New(problem.InvalidJSON, "The body is not valid JSON: it ends in the middle%s.", problem.Place(body, int64(len(body))))
	case errors.As(err, &syntax):
		return problem.New(problem.InvalidJSON, "The body is not valid JSON: %v%s.", syntax.Err, problem.Place(body, syntax.ByteOffset))
	}
	return err
}
