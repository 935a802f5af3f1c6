package storetest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/dataset"
)

func makeDataset(t *testing.T, s Stores, project, environment, id, uid string) (dataset.Dataset, error) {
	t.Helper()
	return s.Datasets.ChangeDataset(t.Context(), project, environment, id, func(c *dataset.Change) (*audit.Entry, error) {
		if c.Revision != 0 || c.Taken {
			return nil, dataset.ErrTaken
		}
		c.UID, c.Class, c.CreatedAt, c.UpdatedAt, c.CreatedBy, c.UpdatedBy = uid, access.Premium, start(), start(), numbered(1), numbered(2)
		c.Definition = dataset.Definition{
			Title: "Ärger", Source: "s", Description: "'; --", Busy: "job_1", Index: dataset.Index{Key: "k", Subkey: "s", Date: "d"},
			Schema: dataset.Schema{Properties: []dataset.Property{{Name: "k", Type: dataset.String, Required: true}, {Name: `a"b`, Type: dataset.Number, Null: true}}},
		}
		return &audit.Entry{ID: "audit " + uid, At: start(), Project: project, Subject: id}, nil
	})
}

func datasetNames(t *testing.T, s Stores, project, environment string) (names string) {
	t.Helper()
	list, err := s.Datasets.Datasets(t.Context(), project, environment)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		names += " " + d.Environment + "/" + d.ID
	}
	return names
}

// Promise: what a dataset is comes back as it was kept; equal names of two projects, or of two environments, are two datasets,
// while names of one that differ in their case only are never both there; and a refused change changes nothing.
func datasetsAreKept(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	addProject(t, s, "prj_2")
	for i, at := range [][2]string{{"prj_1", "production"}, {"prj_1", "staging"}, {"prj_2", "production"}} {
		want, err := makeDataset(t, s, at[0], at[1], "Quotes", "ds_"+string(rune('a'+i)))
		if err != nil || want.Revision != 1 {
			t.Fatal(want, err)
		}
		got, found, err := s.Datasets.FindDataset(t.Context(), at[0], at[1], "Quotes")
		if err != nil || !found || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, %v\nwant %+v", got, found, err, want)
		}
		for _, other := range []string{"quotes", "QUOTES", "Quote", ""} {
			if _, found, err := s.Datasets.FindDataset(t.Context(), at[0], at[1], other); found || err != nil {
				t.Errorf("%q: %v, %v", other, found, err)
			}
		}
		if _, err := makeDataset(t, s, at[0], at[1], "QUOTES", "ds_x"); !errors.Is(err, dataset.ErrTaken) {
			t.Errorf("another case: %v", err)
		}
	}
	if _, err := makeDataset(t, s, "prj_1", "production", "Alpha", "ds_d"); err != nil {
		t.Fatal(err)
	}
	change := func(id string, how func(*dataset.Change)) error {
		_, err := s.Datasets.ChangeDataset(t.Context(), "prj_1", "production", id, func(c *dataset.Change) (*audit.Entry, error) {
			if c.Count != 1 || c.Revision != 1 {
				t.Errorf("%d others, revision %d", c.Count, c.Revision)
			}
			how(c)
			return &audit.Entry{ID: "audit " + id, At: start(), Project: "prj_1", Subject: id}, nil
		})
		return err
	}
	if err := change("Alpha", func(c *dataset.Change) { c.ID = "qUOTES" }); !errors.Is(err, dataset.ErrTaken) {
		t.Errorf("renamed to a name that is taken: %v", err)
	}
	if err := change("Alpha", func(c *dataset.Change) { c.ID = "Beta" }); err != nil {
		t.Error(err)
	}
	if got := datasetNames(t, s, "prj_1", ""); got != " production/Beta production/Quotes staging/Quotes" {
		t.Errorf("there are%s", got)
	}
	if err := change("Quotes", func(c *dataset.Change) { c.Delete = true }); err != nil {
		t.Error(err)
	}
	if got := datasetNames(t, s, "prj_1", "production"); got != " production/Beta" {
		t.Errorf("there are%s", got)
	}
	if got := datasetNames(t, s, "prj_2", "production"); got != " production/Quotes" {
		t.Errorf("of the other project there are%s", got)
	}
}
