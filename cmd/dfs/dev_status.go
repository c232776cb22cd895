package main

import (
	"fmt"
	"strconv"
	"text/tabwriter"

	"dfs/control"
	"dfs/devcluster"
	"dfs/mountpoint"

	"github.com/spf13/cobra"
)

func newDevStatus(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "status DIR",
		Short:   "Show how the nodes of a cluster are",
		Long:    "Show each node of the cluster in DIR: process, phase, what it delivered and has durable, log size, mount.",
		Example: "  dfs dev status /tmp/dfs",
		Args:    needArgs("a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := devcluster.Open(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NODE\tPROCESS\tSTATE\tVIEW\tDELIVERED\tPERSISTED\tLOG\tMOUNT")
			for _, n := range c.Nodes {
				fmt.Fprintln(w, devStatusRow(n.State(cmd.Context())))
			}
			return w.Flush()
		},
	}
}

// devStatusRow is one line of the table.
func devStatusRow(s devcluster.State) string {
	process, state, view, delivered, persisted, size := "-", "stopped", "-", "-", "-", "-"
	if s.PID != 0 {
		process, state = strconv.Itoa(s.PID), "no answer"
	}
	if st := s.Status; st != nil {
		state, size = string(st.Phase), bytesText(int64(st.Log.End))
		if st.View != 0 {
			view = strconv.Itoa(int(st.View))
		}
		delivered, persisted = frontiers(st)
	}
	mount := s.Node.Config.Mount
	switch s.Mount {
	case mountpoint.Free:
		mount += " (not mounted)"
	case mountpoint.Stale:
		mount += " (stale: its process is gone)"
	}
	return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s", s.Node.N, process, state, view, delivered, persisted, size, mount)
}

// frontiers returns those of the namespace.
func frontiers(st *control.Status) (delivered, persisted string) {
	if len(st.Subgroups) == 0 {
		return "-", "-"
	}
	return st.Subgroups[0].Delivered, st.Subgroups[0].Persisted
}

// bytesText prints a size for people.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n)/unit, "KMGTPE"
	for value >= unit && len(names) > 1 {
		value, names = value/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, names[0])
}
