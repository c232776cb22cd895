package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dfs/control"
	"dfs/devcluster"
	"dfs/tests/program"

	"golang.org/x/sys/unix"
)

var (
	cycleCount   = flag.Int("cycles", 12, "how many cycles of kill and restart")
	historyCount = flag.Int("histories", 5, "how many histories are checked for linearizability")
	trialCount   = flag.Int("trials", 5, "how often each time of recovery is measured")
	longStop     = flag.Bool("longstop", false, "stop a node for 30 s too")
)

var binary string

func TestMain(m *testing.M) {
	if kind := os.Getenv(agentEnv); kind != "" {
		if err := agents[kind](os.Args[1:]); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(program.Run(func(path string) int { binary = path; return m.Run() }))
}

// patience is how long anything may take that must happen at last, on a busy machine.
const patience = time.Minute

// size is the number of nodes of each cluster.
const size = 3

// cluster is a running cluster of three nodes.
type cluster struct {
	t testing.TB
	*devcluster.Cluster
	program string // starts a node
}

func start(t testing.TB, o devcluster.Options) *cluster {
	t.Helper()
	o.Nodes = size
	dev, err := devcluster.Create(filepath.Join(t.TempDir(), "cluster"), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t, dev, binary}
	c.endWithTest()
	c.restart(1, 2, 3)
	return c
}

// endWithTest keeps F6 for the processes and mounts of the cluster.
func (c *cluster) endWithTest() {
	c.t.Cleanup(func() {
		for _, n := range c.Nodes {
			b, _ := os.ReadFile(n.LogPath())
			if c.t.Failed() {
				c.t.Logf("log of node %d ends with:\n%s", n.N, b[max(0, len(b)-4000):])
			}
			for line := range strings.Lines(string(b)) {
				if strings.Contains(line, "ERROR") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic:") {
					c.t.Errorf("node %d says: %s", n.N, line)
				}
			}
		}
		if _, err := c.Stop(c.Nodes); err != nil {
			c.t.Errorf("F6: %v", err)
		}
		c.Close()
	})
}

func (c *cluster) selected(which []int) (nodes []*devcluster.Node) {
	for _, n := range which {
		nodes = append(nodes, c.Nodes[n-1])
	}
	return nodes
}

// kill ends nodes with SIGKILL.
func (c *cluster) kill(which ...int) {
	c.t.Helper()
	if err := c.Kill(c.selected(which)); err != nil {
		c.t.Fatal(err)
	}
}

// restart starts nodes and waits until they serve.
func (c *cluster) restart(which ...int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Start(ctx, c.program, c.selected(which)); err != nil {
		c.t.Fatal(err)
	}
}

// signal sends a signal to a running node.
func (c *cluster) signal(n int, s unix.Signal) {
	c.t.Helper()
	pid, err := control.Holder(c.Nodes[n-1].Config.Data)
	if err == nil && pid == 0 {
		err = unix.ESRCH
	}
	if err == nil {
		err = unix.Kill(pid, s)
	}
	if err != nil {
		c.t.Fatalf("signal %v to node %d: %v", s, n, err)
	}
}

// path is a path below the mount of node n.
func (c *cluster) path(n int, elem ...string) string {
	return filepath.Join(append([]string{c.Nodes[n-1].Config.Mount}, elem...)...)
}

// awaitMembers waits until node n is in a view of so many nodes.
func (c *cluster) awaitMembers(n, members int) {
	c.t.Helper()
	waitFor(c.t, fmt.Sprintf("node %d to be in a view of %d", n, members), func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err := control.GetStatus(ctx, c.Nodes[n-1].Config.Data)
		return err == nil && len(s.Members) == members && s.Phase == control.Serving
	})
}

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
		<-tick.C
	}
}

// pass lets time pass: how long a fault lasts is part of what is tested.
func pass(d time.Duration) { <-time.After(d) }

// monotonic is the clock that all processes of the machine share.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}
