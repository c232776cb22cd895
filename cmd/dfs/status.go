package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/mountpoint"

	"github.com/spf13/cobra"
)

func newStatus(e *env) *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a node is",
		Long: `Show a running node: its view and members, the subgroups and their replicas, how far each order of messages is
delivered, persisted and readable by time, how full the rings are, and the size of the log.

Without --data it shows every node that has a mount on this machine. With --json it prints one object a node.`,
		Example: `  dfs status
  dfs status --data /var/lib/dfs
  dfs status --json | jq .subgroups[].persisted`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			nodes := []string{data}
			if data == "" {
				var err error
				if nodes, err = mountedNodes(); err != nil {
					return err
				}
			}
			return e.status(cmd.Context(), nodes, asJSON)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory of the node")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// mountedNodes finds the data directories of the dfs mounts of this machine: a mount shows its node's as source.
func mountedNodes() ([]string, error) {
	mounts, err := mountpoint.List()
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "list the mounts")
	}
	var found []string
	for _, m := range mounts {
		if m.Type == mountpoint.Type && filepath.IsAbs(m.Source) && !slices.Contains(found, m.Source) {
			found = append(found, m.Source)
		}
	}
	if len(found) == 0 {
		return nil, advice.Add(errNotMounted{}, "start one with: dfs up DIRECTORY   (or name a node with --data)")
	}
	return found, nil
}

// errNotMounted says that there is no node to ask.
type errNotMounted struct{}

func (errNotMounted) Error() string { return "no dfs is mounted on this machine" }
func (errNotMounted) Unwrap() error { return control.ErrNotRunning }

func (e *env) status(ctx context.Context, nodes []string, asJSON bool) error {
	var all []error
	for i, data := range nodes {
		st, err := control.GetStatus(ctx, data)
		if err != nil {
			if errors.Is(err, control.ErrNotRunning) {
				err = advice.Add(err, "start it with dfs up, dfs node or dfs dev start")
			}
			all = append(all, err)
			continue
		}
		switch {
		case asJSON:
			enc := json.NewEncoder(e.stdout)
			enc.SetIndent("", "  ")
			if err := enc.Encode(st); err != nil {
				return err
			}
		default:
			if i > 0 {
				e.print("\n")
			}
			e.print("%s", statusText(st))
		}
	}
	return errors.Join(all...)
}

// statusText is the status for people.
func statusText(st *control.Status) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	phase := string(st.Phase)
	if st.Reason != "" {
		phase += ": " + st.Reason
	}
	line("node\t%d of cluster %s, %s", st.Node, st.Cluster, phase)
	line("process\t%d, up %v, dfs %s", st.PID, st.Now.Sub(st.Started).Round(time.Second), st.Program)
	line("mount\t%s", orNone(st.Mount))
	line("data\t%s", st.Data)
	line("log\t%s, %s of it not yet on disk; %s reserved in %d segments, %s free", bytesText(int64(st.Log.End)),
		bytesText(int64(st.Log.End-st.Log.Durable)), bytesText(st.Log.Bytes), st.Log.Segments, bytesText(st.Log.Free))
	if st.Log.Storage != "" {
		line("nvm\t%s", st.Log.Storage)
	}
	line("memory\t%s resident, %s heap, soft limit %s", bytesText(st.Memory.Resident), bytesText(st.Memory.Heap), bytesText(st.Memory.Limit))
	if st.Certificate != nil {
		line("links\t%s, certificate until %s", linksText(st.Links), st.Certificate.UTC().Format("2006-01-02"))
	} else if st.Links != "" {
		line("links\t%s", linksText(st.Links))
	}
	if st.View == 0 {
		line("view\tnone yet")
	} else {
		line("view\t%d of the nodes %s", st.View, membersText(st.Members))
	}
	w.Flush()

	if len(st.Nodes) > 1 {
		line("\nNODE\tADDRESS\tIS\tLINK")
		for _, n := range st.Nodes {
			line("%d\t%s\t%s\t%s", n.Node, n.Address, nodeText(n, st.Node), linkText(n))
		}
		w.Flush()
	}
	if len(st.Subgroups) > 0 {
		line("\nSUBGROUP\tREPLICAS\tORDER\tDELIVERED\tPERSISTED\tREADABLE UP TO")
		for _, l := range subgroupLines(st.Subgroups) {
			line("%s", l)
		}
		w.Flush()
	}
	if len(st.Groups) > 0 {
		line("\nORDER\tUNDER WAY\tRING")
		for _, g := range st.Groups {
			line("%d\t%d\t%s", g.Group, g.Pending, ringsText(g.Rings))
		}
		w.Flush()
	}
	return b.String()
}

func linksText(links string) string {
	if links == control.LinksTLS {
		return "mutual TLS 1.3"
	}
	return "not encrypted"
}

// nodeText says how a configured node is, as far as this one knows.
func nodeText(n control.Node, self ids.NodeID) string {
	text := "not connected"
	switch {
	case n.Node == self:
		text = "this node"
	case n.Connected:
		text = "connected"
	}
	switch {
	case n.InView:
		return text + ", in the view"
	case n.Expected:
		return text + ", let in, has not come yet"
	}
	return text + ", not in the view"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// subgroupLines describes the subgroups, a line for all data shards that are alike.
func subgroupLines(subs []control.Subgroup) []string {
	var texts []string
	alike := map[string][]ids.Subgroup{}
	for _, s := range subs {
		text := fmt.Sprintf("\t%s\t%d\t%s\t%s\t%s", replicasText(s), s.Group, s.Delivered, s.Persisted, momentText(s.Frontier))
		if s.Subgroup == ids.Namespace {
			text = s.Name + text
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
		alike[text] = append(alike[text], s.Subgroup)
	}
	for i, text := range texts {
		if strings.HasPrefix(text, "\t") {
			texts[i] = shardsText(alike[text]) + text
		}
	}
	return texts
}

// shardsText names data shards, or counts them where there are too many to name; --json has them one by one.
func shardsText(shards []ids.Subgroup) string {
	text := "data " + rangesText(shards)
	if len(text) > 20 {
		text = fmt.Sprintf("%d data shards", len(shards))
	}
	return text
}

// rangesText prints ascending numbers as 1-4,7.
func rangesText(numbers []ids.Subgroup) string {
	var parts []string
	for i := 0; i < len(numbers); {
		last := i
		for last+1 < len(numbers) && numbers[last+1] == numbers[last]+1 {
			last++
		}
		if last == i {
			parts = append(parts, fmt.Sprint(numbers[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[last]))
		}
		i = last + 1
	}
	return strings.Join(parts, ",")
}

// replicasText says who has the data of a subgroup, and who is getting it.
func replicasText(s control.Subgroup) string {
	if len(s.Gaining) == 0 {
		return idsText(s.Replicas)
	}
	return idsText(s.Replicas) + " (moving to " + idsText(s.Gaining) + ")"
}

func idsText(nodes []ids.NodeID) string {
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		parts[i] = fmt.Sprint(n)
	}
	return strings.Join(parts, ",")
}

// membersText lists the members, and says who is not connected.
func membersText(members []control.Member) string {
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = fmt.Sprint(m.Node)
		if !m.Connected {
			parts[i] += " (not connected)"
		}
	}
	return strings.Join(parts, ", ")
}

// momentText prints a moment in the form that @t= takes.
func momentText(t hlc.Timestamp) string {
	if t <= 0 {
		return "-"
	}
	return t.Time().Format("2006-01-02T15:04:05.000Z07:00")
}

// ringsText shows how full each sender's ring is.
func ringsText(rings []control.Ring) string {
	parts := make([]string, len(rings))
	for i, r := range rings {
		percent := 0.0
		if r.Size > 0 {
			percent = 100 * float64(r.Used) / float64(r.Size)
		}
		parts[i] = fmt.Sprintf("%.0f%% of %s", percent, bytesText(r.Size))
	}
	return strings.Join(parts, ", ")
}

// linkText says over what a node is reached, and why not over RDMA.
func linkText(n control.Node) string {
	switch {
	case n.Transport == "" && n.Why == "":
		return "-"
	case n.Transport == "":
		return n.Why
	case n.Why == "":
		return n.Transport
	}
	return n.Transport + ": " + n.Why
}
