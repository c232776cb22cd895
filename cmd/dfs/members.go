package main

import (
	"time"

	"dfs/control"

	"github.com/spf13/cobra"
)

func newNodeLeave(e *env) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take a running node out of its cluster for good, and stop it",
		Long: `Take the running node of this machine out of its cluster: it unmounts, waits until the others have on their disks what it
did, and leaves. Its number is not given to another node; its data directory cannot be started again.`,
		Example: "  dfs node leave --data /var/lib/dfs",
		Args:    needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := askNode(cmd.Context(), data, control.Request{Command: control.CommandLeave})
			if err == nil {
				e.say("the node has left its cluster; its data directory is of no use any more")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory of the node (default: the one mounted here)")
	return cmd
}

func newNodeRemove(e *env) *cobra.Command {
	var data string
	var force bool
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Take a dead node out of the cluster",
		Long: `Have a running node take another one, which is dead or must not be trusted any more, out of the cluster. The others do
not wait for it any more and refuse it. Its number is not given to another node.

Every node holds the key with which certificates are made: if somebody broke into the node, make a new cluster.`,
		Example: `  dfs node remove 3
  dfs node remove 3 --data /var/lib/dfs`,
		Args: needArgs("the number of a node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseNode(cmd, args[0])
			if err != nil {
				return err
			}
			_, err = askNode(cmd.Context(), data, control.Request{Command: control.CommandRemove, Node: id, Force: force})
			if err == nil {
				e.say("removed node %d", id)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory of the node that is asked (default: the one mounted here)")
	cmd.Flags().BoolVar(&force, "force", false, "also a node that is running")
	return cmd
}

func newNodeReplace(e *env) *cobra.Command {
	var data string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "replace ID",
		Short: "Print a token for a node that takes the place of a lost one",
		Long: `Print a token for dfs join, with which a node that lost its disk comes back under its number, with a new data directory: it
gets everything from the others. From then on the old directory is refused, should it turn up again.`,
		Example: `  dfs node replace 3
  dfs join dfs2_… --data /var/lib/dfs --listen 10.0.0.3:7940      # on the machine with the new disk`,
		Args: needArgs("the number of a node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseNode(cmd, args[0])
			if err != nil {
				return err
			}
			return e.printToken(cmd.Context(), data, expires, id)
		},
	}
	tokenFlags(cmd, &data, &expires)
	return cmd
}

func newNodeMove(e *env) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "move ID HOST:PORT",
		Short: "Tell the cluster that a node has another address",
		Long: `Tell the cluster on which address a node listens from now on, and change listen in that node's node.toml. Give the command on a
node that runs, while the one that moves is stopped.`,
		Example: "  dfs node move 3 10.0.1.3:7940",
		Args:    needArgs("the number of a node", "its new address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseNode(cmd, args[0])
			if err != nil {
				return err
			}
			_, err = askNode(cmd.Context(), data, control.Request{Command: control.CommandMove, Node: id, Address: args[1]})
			if err == nil {
				e.say("node %d is expected at %s", id, args[1])
			}
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory of the node that is asked (default: the one mounted here)")
	return cmd
}
