package metric_test

import (
	"reflect"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/query/metric"
)

// anything is what a raw value is in a document.
type anything struct{}

func (anything) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

// Promise: what Read takes is what the tags say of a definition, from which the API's document is made.
func TestDefinitionsFitTheirSchema(t *testing.T) {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[jsontext.Value](), reflect.TypeFor[anything]())
	schema := registry.Schema(reflect.TypeFor[metric.Definition](), true, "Definition")
	faults := func(definition []byte) []error {
		var loose any
		if err := json.Unmarshal(definition, &loose); err != nil {
			t.Fatal(err)
		}
		found := &huma.ValidateResult{}
		huma.Validate(registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, loose, found)
		return found.Errors
	}
	definitions(t, func(name string, definition []byte) {
		if found := faults(definition); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
		// What was read and is written again is the same definition.
		d, err := metric.Read(definition)
		if err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := metric.Read(written)
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Errorf("%s is written as %s: %v", name, written, err)
		}
	})
	for _, bad := range []string{
		`{"trend": {"interval": "year"}}`, `{"trend": {"x": 1}}`, `{"funnel": {"steps": [{"event": "a"}]}}`, `{"trend": {"filters": [{"op": "like"}]}}`, `{"trend": null}`,
		`{"trend": {"filters": [{"any": [{"any": [{"op": 1}]}]}]}}`, `{"sql": ""}`, `{"variables": [{"name": "a"}]}`, `{"top": {"by": {"column": "properties"}}}`, `{"path": {"start": {}}}`,
	} {
		if bad != `{"trend": null}` && len(faults([]byte(bad))) == 0 {
			t.Errorf("the schema takes %s", bad)
		}
		if _, err := metric.Read([]byte(bad)); err == nil {
			t.Errorf("Read takes %s", bad)
		}
	}
}
