package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func rootCommand(w world) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Self-hosted analytics in which every event in and every row out passes an API key",
		Long: "Weir takes events, keeps them, answers questions about them, and decides, explains and accounts for every access.\n\n" +
			"Start with 'weir serve': it sets a new data folder up and prints the first keys.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(w.in)
	root.SetOut(w.out)
	root.SetErr(w.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err.Error()} })
	root.AddCommand(serveCommand(w), initCommand(w), keysCommand(w), appsCommand(w), metricsCommand(w), membersCommand(w), projectsCommand(w), workflowsCommand(w), explainCommand(w), deniedCommand(w), auditCommand(w), sqlCommand(w), importCommand(w), exportCommand(w), rejectedCommand(w), masterKeyCommand(w), doctorCommand(w), configCommand(w), openapiCommand(w), versionCommand(w), warehouseCommand(w))
	addedCommands(root)
	usageFaults(root)
	return root
}

// addedCommands adds those that the library would add when the program runs, so that they are like the others.
func addedCommands(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Args = func(c *cobra.Command, args []string) error {
				found, rest, err := c.Root().Find(args)
				if err == nil && len(rest) > 0 {
					err = fmt.Errorf("unknown command %q for %q", rest[0], found.CommandPath())
				}
				return err
			}
		}
	}
}

// usageFaults makes wrong arguments of any command a usage error, and so a word that no command of a group has.
func usageFaults(c *cobra.Command) {
	if c.HasSubCommands() && !c.Runnable() { // the library checks no arguments of a group that cannot run, and prints its help
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &usageError{err.Error()}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageFaults(sub)
	}
}

// settingFlags adds flags for the settings of the names given, or for all.
func settingFlags(flags *pflag.FlagSet, names ...string) {
	for _, s := range settings() {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		flags.String(s.name, s.standard, s.help+" ($"+s.variable()+")")
	}
	flags.String("config", "", "TOML file with settings ($WEIR_CONFIG)")
}

// configOf reads the configuration that a command was given.
func configOf(cmd *cobra.Command, w world) (config, error) {
	given := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = f.Value.String() })
	file, ok := given["config"]
	if !ok {
		file, _ = w.env("WEIR_CONFIG")
	}
	delete(given, "config")
	return readConfig(given, w.env, file)
}

func serveCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API, after setting the data folder up if it is new",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd, w)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, w)
		},
	}
	settingFlags(cmd.Flags())
	return cmd
}

func initCommand(w world) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Set a data folder up without serving it, and print the first keys",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd, w)
			if err != nil {
				return err
			}
			return initialize(cmd.Context(), cfg, w, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	settingFlags(cmd.Flags(), "data", "store", "master-key-file", "master-key-command")
	return cmd
}

func configCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or show the configuration", Args: cobra.NoArgs}
	check := &cobra.Command{
		Use:   "check",
		Short: "Check the flags, variables and file that 'weir serve' would use, and report every fault",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := configOf(cmd, w); err != nil {
				return err
			}
			_, err := fmt.Fprintln(w.out, "The configuration is good.")
			return err
		},
	}
	settingFlags(check.Flags())
	list := &cobra.Command{
		Use:   "list",
		Short: "List every setting with its flag, variable, key in the file and default",
		Args:  cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(w.out, settingsTable())
			return err
		},
	}
	cmd.AddCommand(check, list)
	return cmd
}

// settingsTable is the list of settings in Markdown, as docs/configuration.md has it.
func settingsTable() string {
	var b strings.Builder
	b.WriteString("| flag | variable | key in the file | default | what it is |\n|---|---|---|---|---|\n")
	for _, s := range settings() {
		standard := "`" + s.standard + "`"
		if s.standard == "" {
			standard = "empty"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | `%s` | %s | %s |\n", s.name, s.variable(), s.key(), standard, s.help)
	}
	return b.String()
}

func versionCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(w.out, "weir %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func openapiCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the OpenAPI document",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := openapi()
			if err != nil {
				return err
			}
			_, err = w.out.Write(text)
			return err
		},
	}
}

// printJSON writes one indented JSON object.
func printJSON(w world, v any) error {
	enc := json.NewEncoder(w.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// warehouseCommand is the process in which queries run: this binary again, started by 'weir serve'.
func warehouseCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use:                warehouseName,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return serveWarehouse(cmd.Context(), args, w) },
	}
}
