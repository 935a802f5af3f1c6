package main

import "testing"

// Promise: by default a project that is alone may have every place for queries, several leave one another some, and no key
// has all of several places; what the settings say is so.
func TestSharesOfPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ all, projects, setProject, setKey, project, key int }{
		{all: 4, projects: 1, project: 4, key: 2}, {all: 4, projects: 2, project: 3, key: 2}, {all: 1, projects: 9, project: 1, key: 1},
		{all: 2, projects: 9, project: 2, key: 1}, {all: 3, projects: 2, project: 2, key: 2}, {all: 256, projects: 2, project: 192, key: 128},
		{all: 4, projects: 2, setProject: 1, setKey: 4, project: 1, key: 4},
	} {
		got := config{QueryConcurrency: c.all, QueryPerProject: c.setProject, QueryPerKey: c.setKey}.withShares(c.projects)
		if got.QueryPerProject != c.project || got.QueryPerKey != c.key {
			t.Errorf("%+v: %d and %d", c, got.QueryPerProject, got.QueryPerKey)
		}
	}
}
