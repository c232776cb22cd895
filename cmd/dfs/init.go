package main

import (
	"dfs/advice"
	"dfs/node"

	"github.com/spf13/cobra"
)

const initHelp = `Make the first node of a new cluster, and the cluster's own authority, which signs the certificates of its nodes.

Nothing is started: run the node with dfs node --data DIR, let others in with dfs token create and dfs join. The
settings are written to DIR/node.toml, where more can be added (dfs node --help shows all).

Nodes talk to each other by mutual TLS 1.3. With --insecure they do so in the clear, and whoever is on their network
can read and change everything; only joining is encrypted then.`

func newInit(e *env) *cobra.Command {
	var c node.Config
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new cluster, and its first node",
		Long:  initHelp,
		Example: `  dfs init --data /var/lib/dfs --listen 10.0.0.1:7940 --mount /mnt/dfs
  dfs init --data /var/lib/dfs --listen 10.0.0.1:7940 --cluster photos`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needFlags(cmd, "data", "listen"); err != nil {
				return err
			}
			made, err := node.Init(c)
			if err != nil {
				return refused{err}
			}
			e.say("made cluster %q, %s, with node 1 in %s", made.Config.Cluster, made.Authority.Short(), made.Config.Data)
			e.say("start it with: dfs node --data %s", advice.Quote(made.Config.Data))
			return nil
		},
	}
	newNodeFlags(cmd, &c)
	cmd.Flags().StringVar(&c.Cluster, "cluster", "", "name of the cluster (default dfs)")
	cmd.Flags().IntVar(&c.Shards, "shards", 0, "number of data shards, for ever (default 128)")
	cmd.Flags().IntVar(&c.Replicas, "replicas", 0, "number of nodes that keep the data of a shard, for ever (default 3)")
	cmd.Flags().BoolVar(&c.Insecure, "insecure", false, "do not encrypt the links between the nodes")
	return cmd
}

// newNodeFlags are the settings of a node that is being made.
func newNodeFlags(cmd *cobra.Command, c *node.Config) {
	cmd.Flags().StringVar(&c.Data, "data", "", "data directory of the new node")
	cmd.Flags().StringVar(&c.Listen, "listen", "", "`host:port` on which the other nodes reach this one")
	cmd.Flags().StringVar(&c.Mount, "mount", "", "mount point (default: none)")
	cmd.Flags().StringVar(&c.Consistency, "consistency", "", "causal or strict (default causal)")
}

// needFlags wants the flags to be given.
func needFlags(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if !cmd.Flags().Changed(name) {
			return usageError("for example: "+firstExample(cmd), "%s needs --%s", cmd.CommandPath(), name)
		}
	}
	return nil
}
