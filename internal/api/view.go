package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/view"
)

// viewJSON describes a view. What is wrong with one in particular, package view says.
type viewJSON struct{}

// Schema describes the tables, with what narrows each.
func (viewJSON) Schema(huma.Registry) *huma.Schema {
	text := func(doc string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: doc} }
	list := func(doc string, items *huma.Schema) *huma.Schema {
		return &huma.Schema{Type: huma.TypeArray, Description: doc, Items: items}
	}
	condition := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"column": text("A column, or a property such as properties.country."),
		"op":     text("=, !=, in, not in, <, <=, >, >=, is null or is not null."),
		"value":  {Description: "Text, a number, true or false; or \"@{name}\", for which a token of the key gives a value."},
		"values": list("In the place of value, for in and not in.", &huma.Schema{}),
	}}
	table := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"where": list("Rows that do not meet every condition are not there.", condition),
		"hide":  list("Columns and properties that are not there.", text("")),
		"hash":  list("Columns and properties that have a hash in their place.", text("")),
	}}
	s := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: table,
		Examples: []any{map[string]any{"events": map[string]any{
			"where": []any{map[string]any{"column": "properties.country", "op": "=", "value": "FR"}}, "hide": []any{"properties.email"},
		}}},
	}
	s.PrecomputeMessages()
	return s
}

// shownView is a view as an answer has it; nil for none.
func shownView(v *access.View) keyring.View {
	if v == nil {
		return nil
	}
	return keyring.View(view.Text(v))
}
