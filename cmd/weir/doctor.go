package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/journal/segment"
	"github.com/weir-analytics/weir/internal/store"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb"
)

// finding is one thing that 'weir doctor' saw.
type finding struct {
	Part  string `json:"part"`
	Fault bool   `json:"fault"`
	Text  string `json:"text"`
}

func doctorCommand(w world) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the data folder of a stopped server, change nothing, and say what was found",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd, w)
			if err != nil {
				return err
			}
			return examine(cmd.Context(), cfg, w, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	settingFlags(cmd.Flags(), "data", "store", "journal", "warehouse")
	return cmd
}

// examine looks into every part. It ends with errSaid when something is wrong.
func examine(ctx context.Context, cfg config, w world, asJSON bool) error {
	if _, err := os.Stat(cfg.Data); err != nil {
		return err
	}
	folder, err := lockFolder(cfg.Data)
	if err != nil {
		return err
	}
	defer folder.unlock()
	found, faults := checkEngines(ctx, cfg), 0
	for _, f := range found {
		if f.Fault {
			faults++
		}
	}
	if asJSON {
		err = printJSON(w, map[string]any{"faults": faults, "findings": found})
	} else {
		err = printFindings(w, found, faults)
	}
	if err == nil && faults > 0 {
		return errSaid
	}
	return err
}

func printFindings(w world, found []finding, faults int) error {
	for _, f := range found {
		mark := "ok   "
		if f.Fault {
			mark = "FAULT"
		}
		if _, err := fmt.Fprintf(w.out, "%s  %-9s  %s\n", mark, f.Part, f.Text); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w.out, "\n%d faults.\n", faults)
	return err
}

func fine(part, format string, args ...any) finding {
	return finding{Part: part, Text: fmt.Sprintf(format, args...)}
}

func faulty(part, format string, args ...any) finding {
	return finding{Part: part, Fault: true, Text: fmt.Sprintf(format, args...)}
}

func journalFindings(r segment.Report, err error) []finding {
	if err != nil {
		return []finding{faulty("journal", "cannot be read: %v", err)}
	}
	found := []finding{fine("journal", "%d segments, records %d to %d", len(r.Segments), r.First, r.Last)}
	if r.Torn.Bytes > 0 {
		found = append(found, fine("journal", "%s ends in %d bytes of a write that was cut short, at offset %d; they were never acknowledged, and the next start cuts them off",
			r.Torn.File, r.Torn.Bytes, r.Torn.Offset))
	}
	for _, d := range r.Damage {
		found = append(found, faulty("journal", "%v", d))
	}
	return found
}

func storeFindings(r store.Report, err error) []finding {
	if err != nil {
		return []finding{faulty("store", "cannot be read: %v", err)}
	}
	found := []finding{fine("store", "version %d of %d, %d projects, %d keys of which %d revoked, %d denials",
		r.Version, r.Known, r.Projects, r.Keys, r.RevokedKeys, r.Denials)}
	for _, f := range r.Faults {
		found = append(found, faulty("store", "%s", f))
	}
	return found
}

// warehouseFindings are about every file, and about whether the journal goes on where each ends.
func warehouseFindings(reports []duckdb.Report, err error, last event.Position) []finding {
	if err != nil {
		return []finding{faulty("warehouse", "cannot be read: %v", err)}
	}
	found := []finding{fine("warehouse", "%d environments have events", len(reports))}
	for _, r := range reports {
		name := r.Space.Project + "/" + r.Space.Environment
		switch {
		case r.Fault != "":
			found = append(found, faulty("warehouse", "%s: %s", name, r.Fault))
		case r.Position > last:
			found = append(found, faulty("warehouse", "%s: loaded up to position %d, but the journal ends at %d: they do not belong together", name, r.Position, last))
		default:
			found = append(found, fine("warehouse", "%s: %d events and %d persons in %d bytes, loaded up to position %d", name, r.Events, r.Persons, r.Bytes, r.Position))
		}
	}
	return found
}
