// Package storetest owns the conformance kit of the stores of control data: what every engine must do for
// keyring.Store, what org declares, ledger.Store, audit.Store, limit.Store, token.Store, saved.Store, query.RunStore, dataset.Store, job.Store, deletion.Control, app.Store and app.Flow, with a weight on what access depends on: that no two names are taken for
// one, that a key that was revoked stays revoked, that nothing is done by half, and that no decision is counted twice.
//
// An engine's tests call Run with a way to open it. The kit knows nothing of engines; it reaches the database's driver
// through Faults, to make its calls fail.
package storetest

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/limit"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/workflow"
)

// Stores are the faces of one store.
type Stores struct {
	Keys   keyring.Store
	Orgs   org.Store
	Ledger ledger.Store
	Audit  audit.Store
	Limits limit.Store
	Tokens token.Store

	Metrics saved.Store
	Runs    query.RunStore
	Apps    app.Store
	Flow    app.Flow

	People      org.People
	Invitations org.Invitations
	Sessions    org.Sessions
	Projects    org.Projects
	Recordings  recording.Store
	Jobs        job.Store

	Datasets  dataset.Store
	Workflows workflow.Store
	Outbox    workflow.Outbox
	Deletions deletion.Control
	Clock     deletion.Clock
}

// Open opens a new and empty store. All its connections go through wrap. The store closes with the test.
type Open func(t *testing.T, wrap func(driver.Connector) driver.Connector) Stores

// Run runs the kit.
func Run(t *testing.T, open Open) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, Open){
		"establish once":                     establishOnce,
		"projects are kept whole":            projectsAreKeptWhole,
		"projects are stored whole or not":   projectsAreStoredWholeOrNot,
		"keys are kept whole":                keysAreKeptWhole,
		"names are told apart":               namesAreToldApart,
		"NUL is refused or kept":             zeroByte,
		"keys are listed in order":           keysAreListedInOrder,
		"changes of a key are not lost":      changesAreNotLost,
		"live keys can be left out":          liveKeysCanBeLeftOut,
		"a refused change changes nothing":   refusedChange,
		"policies are kept whole":            policiesAreKeptWhole,
		"changes of a policy are not lost":   policyChangesAreNotLost,
		"reading keys stops":                 readingStops,
		"cancelled calls":                    cancelledCalls,
		"batches are counted once":           batchesAreCountedOnce,
		"denials are kept whole":             denialsAreKeptWhole,
		"denials are told apart":             denialsAreToldApart,
		"counts are told apart":              countsAreToldApart,
		"old denials are trimmed":            oldDenialsAreTrimmed,
		"the greatest share is trimmed":      greatestShareIsTrimmed,
		"counts add up however told apart":   countsAddUp,
		"counts are rolled up":               countsAreRolledUp,
		"rolling up survives failures":       rollingUpSurvivesFailures,
		"big days are folded":                bigDaysAreFolded,
		"old counts are trimmed":             oldCountsAreTrimmed,
		"shapes are kept whole":              shapesAreKeptWhole,
		"shapes are told apart":              shapesAreToldApart,
		"old shapes are trimmed":             oldShapesAreTrimmed,
		"the last use stays":                 theLastUseStays,
		"test keys see test keys only":       testKeysSeeTestKeysOnly,
		"entries are kept whole":             entriesAreKeptWhole,
		"entries are told apart":             entriesAreToldApart,
		"entries stay as they are":           entriesStay,
		"entries are added once":             entriesAreAddedOnce,
		"writers at the same time":           writersAtTheSameTime,
		"ring and store agree":               ringAndStoreAgree,
		"ring and store agree after outages": ringAndStoreAgreeAfterOutages,
		"the ledger counts through failures": ledgerCountsThroughFailures,
		"clock steps":                        clockSteps,
		"counters are kept whole":            countersAreKeptWhole,
		"one server counts":                  oneServerCounts,
		"reservations are kept":              reservationsAreKept,
		"counters are written whole or not":  countersAreWrittenWholeOrNot,
		"old counters are trimmed":           oldCountersAreTrimmed,
		"limits hold through failures":       limitsHoldThroughFailures,
		"many share the allowance":           manyShareTheAllowance,
		"signing keys are kept whole":        signingKeysAreKeptWhole,
		"a signing key's number is its own":  signingKeyNumbersAreGivenOnce,
		"signing keys are resealed once":     signingKeysAreResealedOnce,
		"revocations are kept whole":         revocationsAreKeptWhole,
		"revocations only grow":              revocationsOnlyGrow,
		"old tokens are trimmed":             oldTokensAreTrimmed,
		"revoked tokens survive failures":    revokedTokensSurviveFailures,
		"metrics are kept whole":             metricsAreKeptWhole,
		"metrics are told apart":             metricsAreToldApart,
		"metrics are listed in order":        metricsAreListedInOrder,
		"metrics are measured":               metricsAreMeasured,
		"metrics change whole or not":        metricsChangeWholeOrNot,
		"changes of a metric are not lost":   metricChangesAreNotLost,
		"runs are kept whole":                runsAreKeptWhole,
		"runs are told apart":                runsAreToldApart,
		"old runs are trimmed":               oldRunsAreTrimmed,
		"deletions are kept whole":           deletionsAreKeptWhole,
		"statements are blanked":             statementsAreBlanked,
		"jobs are blanked":                   jobsAreBlanked,
		"how the clock went is kept":         howTheClockWentIsKept,
		"runs are kept through failures":     runsAreKeptThroughFailures,
		"apps are kept whole":                appsAreKeptWhole,
		"apps are told apart":                appsAreToldApart,
		"codes are used once":                codesAreUsedOnce,
		"refresh tokens are used once":       refreshTokensAreUsedOnce,
		"grants are listed":                  grantsAreListed,
		"members are kept whole":             membersAreKeptWhole,
		"invitations are good once":          invitationsAreGoodOnce,
		"owners are counted":                 ownersAreCounted,
		"sessions go on once":                sessionsGoOnOnce,
		"sessions end with their password":   sessionsEndWithTheirPassword,
		"projects are changed whole":         projectsAreChangedWhole,
		"recordings are kept whole":          recordingsAreKeptWhole,
		"refused chunks change nothing":      refusedChunksChangeNothing,
		"recordings are dropped whole":       recordingsAreDroppedWhole,
		"chunks of a key are dropped":        chunksOfAKeyAreDropped,
		"recordings are listed in order":     recordingsAreListedInOrder,
		"jobs are kept whole":                jobsAreKeptWhole,
		"jobs are told apart":                jobsAreToldApart,
		"old jobs are trimmed":               oldJobsAreTrimmed,
		"datasets are kept":                  datasetsAreKept,
		"workflows are kept whole":           workflowsAreKeptWhole,
		"changes of a workflow are not lost": workflowChangesAreNotLost,
		"deliveries are kept whole":          deliveriesAreKeptWhole,
		"deliveries that name are dropped":   deliveriesThatNameAreDropped,
		"deliveries of a key are dropped":    deliveriesOfAKeyAreDropped,
		"deliveries come due":                deliveriesComeDue,
		"deliveries come due in turn":        deliveriesComeDueInTurn,
		"ended deliveries are trimmed":       endedDeliveriesAreTrimmed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// plain opens a store whose calls do not fail.
func plain(t *testing.T, open Open) Stores {
	t.Helper()
	return open(t, func(c driver.Connector) driver.Connector { return c })
}

// hostile are names that differ and that a careless engine takes for one another, or for something else than a name.
func hostile() []string {
	return []string{
		"", "a", "A", "a ", " a", "a\t", "a\n", "á", "a\u0301", "Á", "ß", "ss", "ẞ", "i", "İ", "ı", "K", "\u212A",
		"a\u200Db", "ab", "'", "''", `"`, `\`, `\\`, "`", "%", "_", "a%", "a_", "?", "$1", ":a", "@a", "--", "/*", ";",
		"'; DROP TABLE keys; --", "null", "NULL", "0", "00", "0.0", "1e3", "true", "😀", "😁", "\U0010FFFF", "\uFEFFa", "\u202Ea",
		strings.Repeat("x", 10_000), strings.Repeat("x", 10_001), strings.Repeat("é", 1000), strings.Repeat("e\u0301", 1000),
	}
}

// start is when the kit's clocks begin.
func start() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 123456000, time.UTC) }

// environments are those of every project of the kit.
func environments() []access.Environment {
	return []access.Environment{
		{Name: "production", Mode: access.Live}, {Name: "staging", Mode: access.Live}, {Name: "development", Mode: access.Test},
	}
}

// establish makes the organization and the project prj_1.
func establish(t *testing.T, s Stores) {
	t.Helper()
	_, _, _, err := s.Orgs.Establish(t.Context(), org.Organization{ID: "org_1", Name: "o", CreatedAt: start()}, project("prj_1", start()))
	if err != nil {
		t.Fatal(err)
	}
}

// addProject makes one more project. It has the same name as every other.
func addProject(t *testing.T, s Stores, id string) {
	t.Helper()
	if err := s.Orgs.InsertProject(t.Context(), project(id, start())); err != nil {
		t.Fatalf("insert project %.40q: %v", id, err)
	}
}

func project(id string, at time.Time) org.Project {
	return org.Project{Project: access.Project{Organization: "org_1", ID: id, Environments: environments()}, Name: "same", CreatedAt: at}
}

// numbered is the id of the n-th key.
func numbered(n int) string { return fmt.Sprintf("key_%012d", n) }

func key(project, id string) keyring.Record {
	return keyring.Record{
		ID: id, Project: project, Kind: access.Secret, Mode: access.Live, Label: "label", Scopes: access.EventsRead,
		Hint: "sk_live_…", Generation: 1, MintedAt: start(), CreatedAt: start(), UpdatedAt: start(), CreatedBy: "operator", Revision: 1,
	}
}

func insert(t *testing.T, s Stores, k keyring.Record) {
	t.Helper()
	if err := s.Keys.InsertKey(t.Context(), k, audit.Entry{ID: "made " + k.ID, At: start(), Project: k.Project, Subject: k.ID}); err != nil {
		t.Fatalf("insert key %.40q: %v", k.ID, err)
	}
}

// each runs n of f at the same time and waits for them.
func each(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// cancelled is a context that is done.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// Promise: the first organization and project are made once, whoever asks and how often, all at the same time too.
func establishOnce(t *testing.T, open Open) {
	s := plain(t, open)
	ids := make([]string, 8)
	created := make([]bool, len(ids))
	each(len(ids), func(i int) {
		o := org.Organization{ID: fmt.Sprint("org_", i), Name: fmt.Sprint("o", i), CreatedAt: start()}
		p := project(fmt.Sprint("prj_", i), start())
		p.Organization = o.ID
		o, p, made, err := s.Orgs.Establish(t.Context(), o, p)
		if err != nil {
			t.Error(err)
		}
		if p.Organization != o.ID || o.ID[4:] != p.ID[4:] || o.Name != "o"+o.ID[4:] || !o.CreatedAt.Equal(start()) || !slices.Equal(p.Environments, environments()) {
			t.Errorf("got %+v and %+v", o, p)
		}
		ids[i], created[i] = p.ID, made
	})
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("made several: %v", ids)
	}
	if n := len(slices.DeleteFunc(created, func(c bool) bool { return !c })); n != 1 {
		t.Errorf("%d callers were told that they made it", n)
	}
	if list, err := s.Keys.Projects(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("there are %v, %v", list, err)
	}
}

// Promise: projects come back byte for byte, in the order they were made, each with its own environments in order.
func projectsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	want := []access.Project{project("prj_1", start()).Project}
	for i, name := range hostile() {
		p := project("prj_x"+name, start().Add(time.Duration(i+1)*time.Microsecond))
		p.Name = name
		p.Environments = []access.Environment{{Name: "z" + name, Mode: access.Test}, {Name: "a", Mode: access.Live}}
		if err := s.Orgs.InsertProject(t.Context(), p); err != nil {
			t.Fatalf("insert project %.40q: %v", name, err)
		}
		want = append(want, p.Project)
	}
	got, err := s.Keys.Projects(t.Context())
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d projects, want %d: %v", len(got), len(want), err)
	}
	for i := range want {
		if got[i].ID != want[i].ID || got[i].Organization != want[i].Organization || !slices.Equal(got[i].Environments, want[i].Environments) {
			t.Errorf("project %d is %.60q, want %.60q", i, got[i].ID, want[i].ID)
		}
	}
}

// Promise: a project that cannot be stored whole is not there at all.
func projectsAreStoredWholeOrNot(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	twice := project("prj_2", start())
	twice.Environments = append(twice.Environments, twice.Environments[0])
	stranger := project("prj_3", start())
	stranger.Organization = "org_9"
	for name, p := range map[string]org.Project{"an environment twice": twice, "no such organization": stranger, "an id that is taken": project("prj_1", start())} {
		if err := s.Orgs.InsertProject(t.Context(), p); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	if list, err := s.Keys.Projects(t.Context()); err != nil || len(list) != 1 || len(list[0].Environments) != 3 {
		t.Errorf("there are %+v, %v", list, err)
	}
}
