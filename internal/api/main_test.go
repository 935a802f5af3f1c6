package api_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
)

// TestMain shares one world among the tests, and checks at the end what only the whole run can show: that all traffic
// was as the document says, that all the document says has happened, and that no secret is where it must not be.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == queryProcess {
		if err := serveQueryProcess(context.Background(), os.Args[2:], slog.New(slog.NewJSONHandler(os.Stderr, nil))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if given("test.fuzzworker") || given("test.list") {
		os.Exit(m.Run())
	}
	w, err := theWorld()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	faults := w.verdict(whole())
	if err := w.close(); err != nil {
		faults = append(faults, err.Error())
	}
	for _, fault := range faults {
		fmt.Fprintln(os.Stderr, "FAULT:", fault)
		code = 1
	}
	os.Exit(code)
}

// given reports whether a flag of the test program is set.
func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != "" && f.Value.String() != "false"
}

// whole reports whether all tests were run.
func whole() bool {
	return !given("test.run") && !given("test.skip") && !given("test.fuzz")
}

// verdict says what the run as a whole has shown to be wrong.
func (w *world) verdict(whole bool) []string {
	faults := w.contract.Faults()
	if whole {
		for _, never := range w.contract.Unseen() {
			faults = append(faults, "documented, and never seen: "+never)
		}
	}
	faults = append(append(faults, w.secrets.leaked...), w.strangeLabels()...)
	for what, text := range map[string]string{"the log": w.logs.String(), "a span": w.spansText(), "the metrics": w.metricsText()} {
		if found := w.secrets.in(text); found != "" {
			faults = append(faults, what+" holds the key "+found)
		}
	}
	return faults
}

func (w *world) spansText() string { return fmt.Sprintf("%+v", w.spans.GetSpans()) }

func (w *world) metricsText() string {
	families, err := w.metrics.Gather()
	return fmt.Sprint(families, err)
}
