package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"dfs/bench"
	"dfs/control"
	"dfs/devcluster"
	"dfs/mountpoint"

	"github.com/spf13/cobra"
)

func newBenchFS(e *env) *cobra.Command {
	var c bench.FS
	var o devcluster.Options
	var cluster, plain, asJSON bool
	var disk string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "fs DIR...",
		Short: "Measure a filesystem through its mounts",
		Long: `Do what programs do to files, in directories on one or several mounts of the same filesystem, and measure rates and times.
The same is done in turns on a plain loopback mount of a directory on the same disk, which is as fast as a filesystem in user
space gets that does nothing: the ratio of the two rates stands beside them.

Workloads:
  ` + strings.Join(bench.Names(), "\n  "),
		Example: `  dfs bench fs --cluster
  dfs bench fs /tmp/dfs/mnt1 /tmp/dfs/mnt2 /tmp/dfs/mnt3 --disk /tmp
  dfs bench fs --cluster --only stat,rename --rounds 5`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if cluster == (len(args) > 0) {
				return usageError("for example: dfs bench fs --cluster", "give either directories or --cluster")
			}
			c.Dirs = args
			if cluster {
				var stop func() error
				if c.Dirs, stop, err = e.benchCluster(cmd.Context(), disk, o); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, stop()) }()
			}
			if c.DiskDir = disk; plain {
				c.DiskDir = ""
			}
			c.Pids = servers(cmd.Context(), c.Dirs)
			self, err := program()
			if err != nil {
				return err
			}
			c.Floor = func(ctx context.Context, dir, mount string) *exec.Cmd {
				w := exec.CommandContext(context.WithoutCancel(ctx), self, "bench", "loopback", dir, mount, "--timeout", timeout.String())
				w.Stderr = e.stderr
				return w
			}
			c.Progress = e.benchProgress(asJSON)
			rows, err := c.Run(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return e.printJSON(rows)
			}
			e.print("%s", fsText(rows))
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&cluster, "cluster", false, "start a cluster for it, and remove it at the end")
	f.IntVar(&o.Nodes, "nodes", 3, "nodes of that cluster")
	f.StringVar(&o.Consistency, "consistency", "", "of that cluster: causal or strict")
	f.StringVar(&disk, "disk", os.TempDir(), "directory on the disk that the filesystem stores its data on")
	f.BoolVar(&c.Drop, "drop-caches", true, "before cold reads, have the kernel drop all its caches (as root)")
	f.BoolVar(&plain, "alone", false, "compare with nothing")
	f.DurationVar(&timeout, "floor-timeout", 0, "how long the kernel may keep names and attributes of the loopback mount")
	f.StringSliceVar(&c.Only, "only", nil, "only these workloads, and those that they need")
	f.IntVar(&c.Rounds, "rounds", 3, "how often all is done; medians are printed")
	f.Float64Var(&c.Scale, "scale", 1, "how much is done, as a factor")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// benchCluster starts a cluster of this program in a new directory; stop ends and removes it.
func (e *env) benchCluster(ctx context.Context, disk string, o devcluster.Options) (mounts []string, stop func() error, err error) {
	if err := mountpoint.CheckFUSE("/dev/fuse"); err != nil {
		return nil, nil, refused{err}
	}
	top, err := os.MkdirTemp(disk, "dfs-bench-cluster-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() error { return os.RemoveAll(top) }
	c, err := devcluster.Create(filepath.Join(top, "cluster"), o)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	stop = func() error { return errors.Join(e.stop(c, c.Nodes), c.Close(), remove()) }
	if _, err := start(ctx, c, c.Nodes, time.Minute); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	for _, n := range c.Nodes {
		mounts = append(mounts, n.Config.Mount)
	}
	return mounts, stop, nil
}

// servers finds the processes of this machine's nodes that serve directories.
func servers(ctx context.Context, dirs []string) (pids []int) {
	for _, dir := range dirs {
		for up := dir; ; up = filepath.Dir(up) {
			if m, mounted := mountpoint.At(up); mounted {
				if st, err := control.GetStatus(ctx, m.Source); m.Type == mountpoint.Type && err == nil && !slices.Contains(pids, st.PID) {
					pids = append(pids, st.PID)
				}
				break
			}
			if up == filepath.Dir(up) {
				break
			}
		}
	}
	return pids
}

// newBenchLoopback is the process that serves the loopback mount; it ends with its input.
func newBenchLoopback(e *env) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:    "loopback",
		Hidden: true,
		Args:   needArgs("a directory", "a mount point"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := context.WithCancel(context.WithoutCancel(cmd.Context()))
			go func() {
				_, _ = e.stdin.Read(make([]byte, 1))
				stop()
			}()
			return bench.Loopback(ctx, args[0], args[1], timeout, e.stdout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "of names and attributes")
	return cmd
}

func fsText(rows []bench.FSResult) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "WORKLOAD\tRATE\tP50\tP99\tP99.9\tCPU EACH")
	compared := len(rows) > 0 && rows[0].Floor != nil
	if compared {
		fmt.Fprint(w, "\tLOOPBACK\tP50\tP99\tCPU EACH\tRATIO")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s", r.Name, rateText(r.Rate, r.Unit), latencyText(r.Latency, true), bench.TimeText(r.CPU))
		if f := r.Floor; f != nil {
			fmt.Fprintf(w, "\t%s\t%s\t%s\t%.2f", rateText(f.Rate, r.Unit), latencyText(f.Latency, false), bench.TimeText(f.CPU), r.Ratio)
		}
		if r.Stale > 0 {
			fmt.Fprintf(w, "\t%.1f %% stale", 100*r.Stale)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

func rateText(rate float64, unit string) string { return fmt.Sprintf("%.0f %s", rate, unit) }

func latencyText(p bench.Percentiles, all bool) string {
	times := []string{"", "", ""}
	if p.N > 0 {
		times = []string{bench.TimeText(p.P50), bench.TimeText(p.P99), bench.TimeText(p.P999)}
	}
	if !all {
		times = times[:2]
	}
	return strings.Join(times, "\t")
}
