package main

import (
	"time"

	"dfs/devcluster"

	"github.com/spf13/cobra"
)

func newDevStop(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "stop DIR",
		Short: "Stop a cluster and take its mounts away",
		Long: `Stop all nodes of the cluster in DIR in order, wait for their end, and take their mounts away, also those
that a killed node left behind. The data stays: dfs dev start goes on with it.`,
		Example: "  dfs dev stop /tmp/dfs",
		Args:    needArgs("a directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := devcluster.Open(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			return e.stop(c, c.Nodes)
		},
	}
}

func (e *env) stop(c *devcluster.Cluster, nodes []*devcluster.Node) error {
	forced, err := c.Stop(nodes)
	for _, n := range forced {
		e.say("node %d did not stop in order and was killed; see %s", n.N, n.LogPath())
	}
	return err
}

func newDevKill(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "kill DIR N|all",
		Short: "Kill a node as a crash would",
		Long: `Kill the process of node N, or of all nodes, with SIGKILL. What it had not made durable is lost, and its mount
says "transport endpoint is not connected", as after a crash. dfs dev restart or dfs dev stop clean that up.`,
		Example: "  dfs dev kill /tmp/dfs 2\n  dfs dev kill /tmp/dfs all",
		Args:    needArgs("a directory", "the number of a node, or all"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := devcluster.Open(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			nodes, err := c.Select(args[1])
			if err != nil {
				return usage{err}
			}
			return c.Kill(nodes)
		},
	}
}

func newDevRestart(e *env) *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "restart DIR N|all",
		Short: "Stop a node, if it runs, and start it again",
		Long: `Stop node N, or all nodes, in order if they run, start them again, and return when they are mounted and serve.
A mount that a killed node left behind is taken away first.`,
		Example: "  dfs dev restart /tmp/dfs 2\n  dfs dev restart /tmp/dfs all",
		Args:    needArgs("a directory", "the number of a node, or all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := devcluster.Open(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			nodes, err := c.Select(args[1])
			if err != nil {
				return usage{err}
			}
			if err := e.stop(c, nodes); err != nil {
				return err
			}
			_, err = start(cmd.Context(), c, nodes, patience)
			return err
		},
	}
	cmd.Flags().DurationVar(&patience, "wait", time.Minute, "how long the nodes may take to serve")
	return cmd
}
