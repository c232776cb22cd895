package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dfs/advice"
	"dfs/devcluster"
	"dfs/errs"
	"dfs/mountpoint"
	"dfs/node"

	"github.com/spf13/cobra"
)

func newDevStart(e *env) *cobra.Command {
	var o devcluster.Options
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "start DIR",
		Short: "Start a cluster, or what of it does not run",
		Long: `Make a cluster in DIR, or take up the one that is there, start its nodes, and return when all of them are
mounted and serve. Nodes that run already are left as they are.`,
		Example: `  dfs dev start /tmp/dfs
  dfs dev start /tmp/one --nodes 1
  dfs dev start /tmp/strict --consistency strict`,
		Args: needArgs("a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.devStart(cmd, args[0], o, patience)
		},
	}
	cmd.Flags().IntVar(&o.Nodes, "nodes", 3, "number of nodes of a new cluster")
	cmd.Flags().IntVar(&o.Shards, "shards", 0, "number of data shards of a new cluster (default 128)")
	cmd.Flags().IntVar(&o.Replicas, "replicas", 0, "number of nodes that keep the data of a shard, for a new cluster (default 3)")
	cmd.Flags().StringVar(&o.Consistency, "consistency", "", "causal or strict, for a new cluster (default causal)")
	cmd.Flags().DurationVar(&patience, "wait", time.Minute, "how long the nodes may take to serve")
	return cmd
}

func (e *env) devStart(cmd *cobra.Command, dir string, o devcluster.Options, patience time.Duration) error {
	if err := mountpoint.CheckFUSE("/dev/fuse"); err != nil {
		return refused{err}
	}
	c, made, err := openOrCreate(cmd, dir, o)
	if err != nil {
		return err
	}
	defer c.Close()
	if made {
		e.say("made a cluster of %s in %s", nodesText(len(c.Nodes)), c.Dir)
	}
	started, err := start(cmd.Context(), c, c.Nodes, patience)
	if err != nil {
		return err
	}
	if len(started) == 0 {
		e.say("%s already running", nodesText(len(c.Nodes)))
	}
	for _, n := range c.Nodes {
		e.print("%s\n", n.Config.Mount)
	}
	return nil
}

func nodesText(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// openOrCreate opens the cluster, or makes it.
func openOrCreate(cmd *cobra.Command, dir string, o devcluster.Options) (c *devcluster.Cluster, made bool, err error) {
	c, err = devcluster.Open(dir)
	if errors.Is(err, errs.NotFound) {
		if o.Consistency != "" && o.Consistency != node.Causal && o.Consistency != node.Strict {
			return nil, false, usageError(cmd.CommandPath()+" --help", "consistency %q is neither %s nor %s", o.Consistency, node.Causal, node.Strict)
		}
		c, err = devcluster.Create(dir, o)
		return c, true, err
	}
	if err != nil {
		return nil, false, err
	}
	for _, flag := range []struct {
		name      string
		different bool
	}{
		{"nodes", o.Nodes != len(c.Nodes)},
		{"shards", o.Shards != c.Nodes[0].Config.Shards},
		{"replicas", o.Replicas != c.Nodes[0].Config.Replicas},
		{"consistency", o.Consistency != c.Nodes[0].Config.Consistency},
	} {
		if cmd.Flags().Changed(flag.name) && flag.different {
			c.Close()
			err := errs.New(errs.Exists, "the cluster in %s was made with another --%s", c.Dir, flag.name)
			return nil, false, advice.Add(err, "choose a new directory, or leave out --%s", flag.name)
		}
	}
	return c, false, nil
}

// start starts nodes with this program.
func start(ctx context.Context, c *devcluster.Cluster, nodes []*devcluster.Node, patience time.Duration) ([]*devcluster.Node, error) {
	self, err := program()
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	started, err := c.Start(limited, self, nodes)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return started, err
}
