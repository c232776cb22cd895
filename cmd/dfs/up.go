package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"dfs/errs"
	"dfs/node"

	"github.com/spf13/cobra"
)

func newUp(e *env) *cobra.Command {
	var c node.Config
	cmd := &cobra.Command{
		Use:   "up MOUNT",
		Short: "Mount a filesystem of this machine alone",
		Long: `Run one node that needs no others, mount it on the directory MOUNT, and serve until ^C, which unmounts it.

The data goes to --data. Without it, to a directory of its own for each mount point, below $XDG_DATA_HOME/dfs or
~/.local/share/dfs, or below /var/lib/dfs where there is no home directory.`,
		Example: `  dfs up /mnt/dfs
  dfs up ~/files --data /big/disk/dfs`,
		Args: needArgs("a mount point"),
		RunE: func(cmd *cobra.Command, args []string) error {
			mount, err := filepath.Abs(args[0])
			if err != nil {
				return errs.Wrap(errs.Invalid, err, "%s", args[0])
			}
			c.Mount = mount
			if c.Data == "" {
				c.Data = defaultData(mount, os.Getenv)
			}
			return e.serve(cmd.Context(), c, "stop it with ^C")
		},
	}
	cmd.Flags().StringVar(&c.Data, "data", "", "data directory (default: one for each mount point)")
	cmd.Flags().StringVar(&c.Consistency, "consistency", "", "causal or strict (default causal)")
	cmd.Flags().IntVar(&c.Shards, "shards", 0, "number of data shards, for a new data directory (default 128)")
	cmd.Flags().StringVar(&c.LogLevel, "log-level", "warn", "debug, info, warn or error")
	return cmd
}

// defaultData is the data directory that belongs to a mount point.
func defaultData(mount string, getenv func(string) string) string {
	sum := sha256.Sum256([]byte(mount))
	name := filepath.Base(mount)
	if mount == "/" {
		name = "root"
	}
	name += "-" + hex.EncodeToString(sum[:4])
	switch data, home := getenv("XDG_DATA_HOME"), getenv("HOME"); {
	case filepath.IsAbs(data):
		return filepath.Join(data, "dfs", name)
	case filepath.IsAbs(home) && home != "/":
		return filepath.Join(home, ".local", "share", "dfs", name)
	}
	return filepath.Join("/var/lib/dfs", name)
}
