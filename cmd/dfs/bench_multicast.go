package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"dfs/bench"

	"github.com/spf13/cobra"
)

func newBenchMulticast(e *env) *cobra.Command {
	c := bench.Multicast{Latency: true}
	var sizes, senders []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "multicast",
		Short: "Measure atomic multicast, without log and filesystem",
		Long: `Start member processes that send each other messages over TCP on this machine, and measure how many are delivered
per second, of all senders together on the slowest member's clock; and, with one message at a time, how long it takes from
sending to delivery. Beside the rate stands its ratio to what bare TCP moves between the same processes.`,
		Example: `  dfs bench multicast
  dfs bench multicast --sizes 256,64k --senders all
  dfs bench multicast --in-process --sizes 64`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.Sizes, err = parseSizes(sizes); err != nil {
				return err
			}
			if c.Senders, err = parseSenders(senders, c.Members); err != nil {
				return err
			}
			self, err := program()
			if err != nil {
				return err
			}
			c.Worker = func(ctx context.Context) *exec.Cmd {
				w := exec.CommandContext(ctx, self, "bench", "member")
				w.Stderr = e.stderr
				return w
			}
			c.Progress = func(text string) {
				if !asJSON {
					e.say("%s", text)
				}
			}
			rows, err := c.Run(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return e.printJSON(rows)
			}
			e.print("%s", multicastText(rows))
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Members, "members", 3, "members of the group")
	f.StringSliceVar(&senders, "senders", []string{"all", "one"}, "how many members send: all, one, or numbers")
	f.StringSliceVar(&sizes, "sizes", []string{"64", "256", "4k", "64k", "1m"}, "sizes of messages")
	f.IntVar(&c.Window, "window", 5000, "messages that a sender has in flight")
	f.IntVar(&c.Ring, "ring", 16<<20, "bytes of a sender's ring, a power of two")
	f.DurationVar(&c.Time, "time", 2*time.Second, "how long each case is counted")
	f.DurationVar(&c.WarmUp, "warm-up", 300*time.Millisecond, "how long each case runs before that")
	f.IntVar(&c.Rounds, "rounds", 3, "how often all cases are run; medians are printed")
	f.BoolVar(&c.InProcess, "in-process", false, "all members in one process, over shared memory")
	f.BoolVar(&c.Latency, "latency", true, "measure one message at a time too")
	f.StringVar(&c.Profile, "profile", "", "directory to write CPU profiles to")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newBenchMember is a member process of the former.
func newBenchMember(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "member",
		Hidden: true,
		Args:   needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The parent decides when this ends, also after an interrupt.
			return bench.Work(context.WithoutCancel(cmd.Context()), e.stdin, e.stdout)
		},
	}
}

func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// parseSizes reads numbers with k and m for the powers of 1024.
func parseSizes(texts []string) ([]int, error) {
	var all []int
	for _, text := range texts {
		digits, unit := strings.ToLower(text), 1
		if s, ok := strings.CutSuffix(digits, "k"); ok {
			digits, unit = s, 1<<10
		} else if s, ok := strings.CutSuffix(digits, "m"); ok {
			digits, unit = s, 1<<20
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > 1<<30/unit {
			return nil, usageError("for example: --sizes 256,64k,1m", "%q is not a size", text)
		}
		all = append(all, n*unit)
	}
	return all, nil
}

func parseSenders(texts []string, members int) ([]int, error) {
	var all []int
	for _, text := range texts {
		n := members
		switch text {
		case "all":
		case "one":
			n = 1
		default:
			var err error
			if n, err = strconv.Atoi(text); err != nil || n < 1 || n > members {
				return nil, usageError("for example: --senders all,one", "%q is neither all nor one nor a number up to %d", text, members)
			}
		}
		all = append(all, n)
	}
	return all, nil
}

func multicastText(rows []bench.MulticastResult) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "SENDERS\tSIZE\tMESSAGES/S\tMB/S\tOF BARE TCP\tBATCH\tCPUS\tCPU/MSG\tOF BARE TCP\tALONE P50\tP99\tP99.9\t")
	for _, r := range rows {
		ratio, cost, p50, p99, p999 := "", "", "", "", ""
		if r.Limit > 0 {
			ratio, cost = fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.2f", float64(r.Cost)/float64(max(r.LimitCost, 1)))
		}
		if p := r.Closed; p != nil {
			p50, p99, p999 = timeText(p.P50), timeText(p.P99), timeText(p.P999)
		}
		fmt.Fprintf(w, "%d of %d\t%s\t%.0f\t%.1f\t%s\t%.1f\t%.2f\t%s\t%s\t%s\t%s\t%s\t\n", r.Senders, r.Members, sizeText(r.Size),
			r.PerSecond, r.BytesRate/1e6, ratio, r.Batch, r.CPU, timeText(r.Cost), cost, p50, p99, p999)
	}
	w.Flush()
	return b.String()
}

// timeText prints a time with three digits or so.
func timeText(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 100*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func sizeText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
