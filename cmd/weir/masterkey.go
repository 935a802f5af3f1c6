package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-analytics/weir/internal/vault"
)

// commandTime is how long the command that prints the master key may take.
const commandTime = 10 * time.Second

// openVault finds the master key: in the environment, by a command, or in a file, which is made when there is none.
func openVault(ctx context.Context, cfg config) (*vault.Vault, error) {
	var keys []vault.Key
	var err error
	switch {
	case !cfg.MasterKey.Empty():
		if keys, err = vault.ParseKeys(cfg.MasterKey); err != nil {
			return nil, fmt.Errorf("WEIR_MASTER_KEY: %w", err)
		}
	case len(cfg.MasterKeyCommand) > 0:
		if keys, err = vault.FromCommand(ctx, cfg.MasterKeyCommand, commandTime); err != nil {
			return nil, fmt.Errorf("master-key-command: %w", err)
		}
	default:
		if keys, err = keysInFile(masterKeyFile(cfg)); err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
	}
	return vault.New(keys[0], keys[1:]...), nil
}

func masterKeyFile(cfg config) string {
	if cfg.MasterKeyFile != "" {
		return cfg.MasterKeyFile
	}
	return filepath.Join(cfg.Data, "master.key")
}

func keysInFile(path string) ([]vault.Key, error) {
	keys, err := vault.FromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := vault.CreateFile(path, rand.Reader)
		return []vault.Key{key}, err
	}
	return keys, err
}

func masterKeyCommand(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use: "master-key", Short: "Make or rotate the master key that signing secrets are encrypted under", Args: cobra.NoArgs,
		Long: "The master key is in the file that --master-key-file names, by default master.key in the data folder; in $WEIR_MASTER_KEY; or what a command " +
			"prints. Keep a copy of it elsewhere: without it, signing secrets cannot be read.",
	}
	create := &cobra.Command{
		Use: "new", Short: "Print a new master key", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, text, err := vault.NewKey(rand.Reader)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(w.out, text.Reveal())
			return err
		},
	}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Put a new master key into the file, encrypt everything anew, and forget the one before", Args: cobra.NoArgs,
		Long: "For the data folder of a server that is stopped. With $WEIR_MASTER_KEY or a command, put the new key on the first line and the one before on the " +
			"second, run this, and then take the second line away.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd, w)
			if err != nil {
				return err
			}
			return rotateMasterKey(cmd.Context(), cfg, w)
		},
	}
	settingFlags(rotate.Flags(), "data", "store", "master-key-file", "master-key-command")
	cmd.AddCommand(create, rotate)
	return cmd
}

// rotateMasterKey seals everything under a new master key. A crash on the way loses nothing: the former key stays in the
// file until all is sealed anew, and running this again goes on.
func rotateMasterKey(ctx context.Context, cfg config, w world) error {
	folder, err := lockFolder(cfg.Data)
	if err != nil {
		return err
	}
	defer folder.unlock()
	inFile := cfg.MasterKey.Empty() && len(cfg.MasterKeyCommand) == 0
	var current vault.Key
	if inFile {
		if _, err := keysInFile(masterKeyFile(cfg)); err != nil {
			return fmt.Errorf("master key: %w", err)
		}
		if current, err = vault.RotateFile(masterKeyFile(cfg), rand.Reader); err != nil {
			return fmt.Errorf("master key: %w", err)
		}
	}
	logs := newLogger(cfg, w.err)
	defer logs.Close()
	c, err := openControl(ctx, cfg, w, logs.Logger)
	if err != nil {
		return err
	}
	defer func() { _ = c.close(ctx) }()
	count, err := c.keys.Reseal(ctx)
	if err != nil {
		return err
	}
	signing, err := c.tokens.Reseal(ctx)
	if err != nil {
		return err
	}
	workflows, err := c.workflows.Reseal(ctx)
	if err != nil {
		return err
	}
	if inFile {
		if err := vault.ForgetFormer(masterKeyFile(cfg), current); err != nil {
			return fmt.Errorf("master key: %w", err)
		}
	}
	_, err = fmt.Fprintf(w.out, "%d signing secrets and %d signing keys of access tokens, and the secrets of %d workflows, are encrypted under the new master key.\n", count, signing, workflows)
	return err
}
