package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"dfs/bench"

	"github.com/spf13/cobra"
)

func newBenchReplication(e *env) *cobra.Command {
	c := bench.Replication{}
	var size string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "replication",
		Short: "Measure the engine: order, log and index of three processes, without mounts",
		Long: `Start processes with a whole node each but for the mount, and write to files from one of them: an operation after
the other from one client and from many, waiting until all members have received it, or until all have it on disk; and pipelined.
Beside one client's time stands that of a leader with followers over bare TCP, without any protocol.`,
		Example: `  dfs bench replication
  dfs bench replication --size 4k --dir /var/tmp`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sizes, err := parseSizes([]string{size})
			if err != nil {
				return err
			}
			c.Size = sizes[0]
			if c.Worker, err = e.benchWorker(); err != nil {
				return err
			}
			c.Progress = e.benchProgress(asJSON)
			rows, err := c.Run(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return e.printJSON(rows)
			}
			e.print("%s", replicationText(rows))
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Members, "members", 3, "members")
	f.StringVar(&size, "size", "256", "size of a write")
	f.IntSliceVar(&c.Clients, "clients", []int{1, 64}, "clients at one member")
	f.IntVar(&c.Window, "window", 256, "operations under way when pipelined")
	f.StringVar(&c.Dir, "dir", os.TempDir(), "where logs and indexes go while it runs")
	f.DurationVar(&c.Time, "time", 2*time.Second, "how long each case is counted")
	f.DurationVar(&c.WarmUp, "warm-up", 300*time.Millisecond, "how long each case runs before that")
	f.IntVar(&c.Rounds, "rounds", 3, "how often all cases are run; medians are printed")
	f.StringVar(&c.Profile, "profile", "", "directory to write CPU profiles to")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// benchWorker starts this program as a worker.
func (e *env) benchWorker() (func(ctx context.Context) *exec.Cmd, error) {
	self, err := program()
	return func(ctx context.Context) *exec.Cmd {
		w := exec.CommandContext(ctx, self, "bench", "member")
		w.Stderr = e.stderr
		return w
	}, err
}

// benchProgress says what is being measured, if people look on.
func (e *env) benchProgress(quiet bool) func(string) {
	return func(text string) {
		if !quiet {
			e.say("%s", text)
		}
	}
}

func replicationText(rows []bench.ReplicationResult) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "CASE\tSIZE\tSYNCED\tPER SECOND\tP50\tP99\tP99.9\tCPUS\tBARE P50\tRATIO\t")
	for _, r := range rows {
		synced, bare, ratio := "no", "", ""
		if r.Sync {
			synced = "yes"
		}
		if p := r.Bare; p != nil {
			bare, ratio = bench.TimeText(p.P50), fmt.Sprintf("%.2f", float64(r.Latency.P50)/float64(max(p.P50, 1)))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f\t%s\t%s\t%s\t%.2f\t%s\t%s\t\n", r.Case, bench.SizeText(r.Size), synced, r.PerSecond,
			bench.TimeText(r.Latency.P50), bench.TimeText(r.Latency.P99), bench.TimeText(r.Latency.P999), r.CPU, bare, ratio)
	}
	w.Flush()
	return b.String()
}
