package main

import (
	"fmt"
	"strings"

	"dfs/advice"
	"dfs/node"

	"github.com/spf13/cobra"
)

const joinHelp = `Make a node of an existing cluster on this machine, with a token that dfs token create printed on another.

The token names the cluster and some of its nodes, of which one must run. That one must prove to belong to the cluster before
it is shown the token. The new node gets its number, its certificate and the list of nodes; its settings are written to
DIR/node.toml. Nothing is started, unless --start says so: run the node with dfs node --data DIR. It is expected from now
on, and counts as one of the cluster once it has what the others have.

A token lets in one node. Should the connection break, or the node that was asked, the same command can be given again.`

func newJoin(e *env) *cobra.Command {
	var c node.Config
	var start bool
	cmd := &cobra.Command{
		Use:   "join TOKEN",
		Short: "Make a node of an existing cluster",
		Long:  joinHelp,
		Example: `  dfs join dfs2_… --data /var/lib/dfs --listen 10.0.0.2:7940 --mount /mnt/dfs
  dfs join dfs2_… --data /var/lib/dfs --listen 10.0.0.2:7940 --start`,
		Args: needArgs("a token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needFlags(cmd, "data", "listen"); err != nil {
				return err
			}
			made, err := node.Join(cmd.Context(), args[0], c)
			if err != nil {
				return refused{err}
			}
			var others []string
			for _, p := range made.Nodes {
				if p.Node != made.Config.ID {
					others = append(others, fmt.Sprint(p.Node))
				}
			}
			e.say("made node %d of cluster %q, %s, beside %s, in %s", made.Config.ID, made.Config.Cluster, made.Authority.Short(), strings.Join(others, ", "), made.Config.Data)
			if start {
				return e.serve(cmd.Context(), made.Config, "")
			}
			e.say("start it with: dfs node --data %s", advice.Quote(made.Config.Data))
			return nil
		},
	}
	newNodeFlags(cmd, &c)
	cmd.Flags().BoolVar(&start, "start", false, "go on as dfs node would")
	return cmd
}
