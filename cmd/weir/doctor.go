package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
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
