package main

import (
	"context"
	"encoding/json"
	"fmt"
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
			if c.Worker, err = e.benchWorker(); err != nil {
				return err
			}
			if c.Fabric != "tcp" && c.Fabric != "verbs" {
				return usageError("one of: tcp, verbs", "%q is no fabric", c.Fabric)
			}
			c.Progress = e.benchProgress(asJSON)
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
	f.StringVar(&c.Fabric, "fabric", "tcp", "between processes: tcp, or verbs for an RDMA adapter of this machine")
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
	compared := len(rows) > 0 && rows[0].Limit > 0
	fmt.Fprint(w, "SENDERS\tSIZE\tMESSAGES/S\tMB/S\tBATCH\tCPUS\tCPU/MSG\t")
	if compared {
		fmt.Fprint(w, "RATE:BARE\tCPU:BARE\t")
	}
	fmt.Fprint(w, "ALONE P50\tP99\tP99.9\tCPU\t")
	if compared {
		fmt.Fprint(w, "P50:BARE\tCPU:BARE\t")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "%d of %d\t%s\t%.0f\t%.1f\t%.1f\t%.2f\t%s\t", r.Senders, r.Members, bench.SizeText(r.Size),
			r.PerSecond, r.BytesRate/1e6, r.Batch, r.CPU, bench.TimeText(r.Cost))
		if compared {
			fmt.Fprintf(w, "%.2f\t%.2f\t", r.Ratio, float64(r.Cost)/float64(max(r.LimitCost, 1)))
		}
		if p := r.Closed; p != nil {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t", bench.TimeText(p.P50), bench.TimeText(p.P99), bench.TimeText(p.P999), bench.TimeText(r.ClosedCost))
		}
		if p := r.Bare; p != nil {
			fmt.Fprintf(w, "%.2f\t%.2f\t", float64(r.Closed.P50)/float64(max(p.P50, 1)), float64(r.ClosedCost)/float64(max(r.BareCost, 1)))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}
