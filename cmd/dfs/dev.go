package main

import (
	"github.com/spf13/cobra"
)

const devHelp = `Run a whole cluster on this machine, for trying dfs out and for development.

All of it is in one directory: DIR/mnt1, DIR/mnt2 … are the mounts, DIR/node1, DIR/node2 … hold each
node's configuration (node.toml), data (data) and what its process says (log). The nodes are ordinary
processes on loopback ports; they go on when the command that started them ends.`

func newDev(e *env) *cobra.Command {
	dev := &cobra.Command{
		Use:   "dev",
		Short: "Run a cluster of several nodes on this machine",
		Long:  devHelp,
		Example: `  dfs dev start /tmp/dfs       # three nodes
  dfs dev status /tmp/dfs
  dfs dev kill /tmp/dfs 2      # as a crash would
  dfs dev restart /tmp/dfs 2
  dfs dev stop /tmp/dfs`,
		RunE: group,
	}
	dev.AddCommand(newDevStart(e), newDevStop(e), newDevKill(e), newDevRestart(e), newDevStatus(e))
	return dev
}
