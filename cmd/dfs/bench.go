package main

import (
	"github.com/spf13/cobra"
)

const benchHelp = `Measure this machine and this build of dfs. Every figure is a rate or a time in one run; what it is compared
with is measured in the same run, since the same machine is not equally fast on two days.`

func newBench(e *env) *cobra.Command {
	bench := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed",
		Long:  benchHelp,
		Example: `  dfs bench multicast                # messages between three processes
  dfs bench multicast --in-process   # the cores alone
  dfs bench replication              # with log and index
  dfs bench fs --cluster             # through the mounts of three nodes`,
		RunE: group,
	}
	bench.AddCommand(newBenchMulticast(e), newBenchReplication(e), newBenchFS(e), newBenchMember(e), newBenchLoopback(e))
	return bench
}
