package devcluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/mountpoint"

	"golang.org/x/sys/unix"
)

// poll is how often a starting node is asked whether it serves.
const poll = 20 * time.Millisecond

// starting is a node on its way.
type starting struct {
	node    *Node
	cmd     *exec.Cmd
	exited  <-chan struct{} // closed when the process ended
	logFrom int64           // where its output begins in the log
}

// Start starts those of the nodes that do not run, with the given dfs program, and waits until all of them serve
// or ctx ends. started are the nodes that it began. A failure ends those again (DC2).
func (c *Cluster) Start(ctx context.Context, program string, nodes []*Node) (started []*Node, err error) {
	running, err := c.running()
	if err != nil {
		return nil, err
	}
	if len(running) == 0 && !c.portsFree() {
		if err := c.assignPorts(); err != nil { // somebody took a port while the cluster was stopped
			return nil, err
		}
	}
	var begun []*starting
	for _, n := range nodes {
		if running[n.N] {
			continue
		}
		s, err := n.begin(program)
		if err != nil {
			abandon(begun)
			return nil, err
		}
		begun, started = append(begun, s), append(started, n)
	}
	if err := awaitAll(ctx, begun); err != nil {
		abandon(begun)
		return nil, err
	}
	return started, nil
}

// abandon ends what was begun. The processes may not hold the locks of their data directories yet, but as their
// parent this one knows them.
func abandon(begun []*starting) {
	var all sync.WaitGroup
	for _, s := range begun {
		all.Go(func() {
			s.cmd.Process.Signal(unix.SIGTERM)
			select {
			case <-s.exited:
			case <-time.After(stopPatience):
				s.cmd.Process.Kill()
				<-s.exited
			}
			mountpoint.Detach(s.node.Config.Mount)
		})
	}
	all.Wait()
}

// running returns the numbers of the nodes that run.
func (c *Cluster) running() (map[int]bool, error) {
	found := map[int]bool{}
	for _, n := range c.Nodes {
		pid, err := control.Holder(n.Config.Data)
		if err != nil {
			return nil, err
		}
		if pid != 0 {
			found[n.N] = true
		}
	}
	return found, nil
}

// awaitAll waits until all serve; the first that fails ends the wait for the others.
func awaitAll(ctx context.Context, begun []*starting) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	failures := make([]error, len(begun))
	for i, s := range begun {
		all.Go(func() {
			if failures[i] = s.await(ctx); failures[i] != nil && ctx.Err() == nil {
				cancel(failures[i])
			}
		})
	}
	all.Wait()
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errStart) {
		return cause
	}
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// errStart marks the failure of a node that ended while it started, which tells more than that others waited.
var errStart = errs.New(errs.Unavailable, "node failed to start")

// startFailure is such a failure.
type startFailure struct{ error }

func (f startFailure) Unwrap() []error { return []error{f.error, errStart} }

// await waits until the node serves.
func (s *starting) await(ctx context.Context) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-s.exited:
			return startFailure{s.explain()}
		case <-ctx.Done():
			return s.late(s.node.State(context.WithoutCancel(ctx)))
		case <-ticker.C:
			if now := s.node.State(ctx); now.Serving() {
				return nil
			}
		}
	}
}

// late explains why the node does not serve yet.
func (s *starting) late(now State) error {
	why := "it does not answer yet"
	if now.Status != nil {
		if why = string(now.Status.Phase); now.Status.Reason != "" {
			why += ": " + now.Status.Reason
		}
	}
	return advice.Add(errs.New(errs.Unavailable, "node %d does not serve: %s", s.node.N, why), "less %s", advice.Quote(s.node.LogPath()))
}

// explain returns the error that the process wrote before it ended.
func (s *starting) explain() error {
	text, hint := lastError(s.node.LogPath(), s.logFrom)
	if text == "" {
		text = "its process ended without a word"
	}
	if hint == "" {
		hint = "less " + advice.Quote(s.node.LogPath())
	}
	return advice.Add(errs.New(errs.Unavailable, "node %d did not start: %s", s.node.N, text), "%s", hint)
}

// How the command line begins the lines of an error.
const (
	ErrorPrefix = "dfs: error: "
	HintPrefix  = "dfs: hint: "
)

// lastError finds the last error and hint that a process wrote into its log from the offset on.
func lastError(path string, from int64) (text, hint string) {
	f, err := os.Open(path)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	const enough = 64 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		from = max(from, size-enough)
	}
	tail, _ := io.ReadAll(io.NewSectionReader(f, from, enough))
	for line := range bytes.Lines(tail) {
		line := strings.TrimSuffix(string(line), "\n")
		if rest, ok := strings.CutPrefix(line, ErrorPrefix); ok {
			text, hint = rest, ""
		} else if rest, ok := strings.CutPrefix(line, HintPrefix); ok {
			hint = rest
		}
	}
	return text, hint
}

// Stop ends the nodes in order and takes their mounts away (DC3). forced are those that had to be killed because
// they did not end in time.
func (c *Cluster) Stop(nodes []*Node) (forced []*Node, err error) { return endAll(nodes) }

// Kill ends the nodes with SIGKILL, as a crash would; their mounts stay behind, stale.
func (c *Cluster) Kill(nodes []*Node) error {
	var all []error
	for _, n := range nodes {
		_, err := n.end(false)
		all = append(all, err)
	}
	return errors.Join(all...)
}

// endAll ends the nodes side by side: a node alone may wait for the others before it can stop.
func endAll(nodes []*Node) (forced []*Node, err error) {
	var all sync.WaitGroup
	failures, wasForced := make([]error, len(nodes)), make([]bool, len(nodes))
	for i, n := range nodes {
		all.Go(func() {
			inOrder, err := n.end(true)
			failures[i], wasForced[i] = err, !inOrder
		})
	}
	all.Wait()
	for i, n := range nodes {
		if wasForced[i] {
			forced = append(forced, n)
		}
	}
	return forced, errors.Join(failures...)
}
