package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"
	"dfs/node"

	"golang.org/x/sys/unix"
)

// The tests run clusters whose nodes are this test binary: with fakeEnv set it behaves like `dfs node`, as far as
// this package can tell, without a filesystem. Files beside a node's configuration make it misbehave.
const fakeEnv = "DFS_DEVCLUSTER_FAKE_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(fakeEnv) != "" {
		if err := fakeNode(os.Args[len(os.Args)-1]); err != nil {
			fmt.Printf("%s%v\n%s%s\n", ErrorPrefix, err, HintPrefix, advice.Of(err))
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Setenv(fakeEnv, "1")
	os.Exit(m.Run())
}

func fakeNode(configPath string) error {
	told := func(what string) bool {
		_, err := os.Stat(filepath.Join(filepath.Dir(configPath), what))
		return err == nil
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, unix.SIGTERM)
	config, err := node.ReadConfig(configPath)
	if err != nil {
		return err
	}
	if told("fail") {
		return advice.Add(errs.New(errs.Busy, "port in use"), "ss -ltn")
	}
	data, err := node.OpenDataDir(config)
	if err != nil {
		return err
	}
	defer data.Close()
	phase := control.Serving
	if told("wait") {
		phase = control.Waiting
	}
	server, err := control.Serve(config.Data, func(context.Context, control.Request) (control.Response, error) {
		return control.Response{Status: &control.Status{Node: config.ID, Phase: phase, Reason: "no peers", Incarnation: data.Incarnation}}, nil
	})
	if err != nil {
		return err
	}
	defer server.Close()
	<-terminated
	return nil
}

// self is the program to start.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// create makes a cluster that is stopped when the test ends.
func create(t *testing.T, nodes int) *Cluster {
	t.Helper()
	c, err := Create(filepath.Join(t.TempDir(), "cluster"), Options{Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill(c.Nodes)
		c.Close()
	})
	return c
}

func mustStart(t *testing.T, c *Cluster, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	started, err := c.Start(ctx, self(t), c.Nodes)
	if err != nil || len(started) != want {
		t.Fatalf("started %d nodes, want %d: %v, hint %q", len(started), want, err, advice.Of(err))
	}
}

func TestLife(t *testing.T) {
	c := create(t, 3)
	mustStart(t, c, 3)
	mustStart(t, c, 0) // all run already
	first, life := map[int]int{}, map[int]uint32{}
	for _, n := range c.Nodes {
		s := n.State(t.Context())
		if !s.Serving() || s.PID == 0 || s.Status.Incarnation == 0 {
			t.Fatalf("node %d: %+v", n.N, s)
		}
		first[n.N], life[n.N] = s.PID, s.Status.Incarnation
	}
	if err := c.Kill(c.Nodes[1:2]); err != nil {
		t.Fatal(err)
	}
	if s := c.Nodes[1].State(t.Context()); s.PID != 0 || s.Serving() {
		t.Fatalf("killed, but %+v", s)
	}
	mustStart(t, c, 1)
	if s := c.Nodes[1].State(t.Context()); s.PID == first[2] || s.Status.Incarnation <= life[2] {
		t.Fatalf("restarted, but %+v", s)
	}
	// DC3: also a stopped process ends, in order.
	if err := unix.Kill(first[1], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if forced, err := c.Stop(c.Nodes); err != nil || len(forced) != 0 {
		t.Fatalf("DC3: forced %v, %v", forced, err)
	}
	for _, n := range c.Nodes {
		if s := n.State(t.Context()); s.PID != 0 {
			t.Errorf("DC3: node %d still runs: %+v", n.N, s)
		}
	}
	if _, err := c.Stop(c.Nodes); err != nil {
		t.Errorf("stopping what does not run: %v", err)
	}
}

// DC2: when one node fails, none is left, and the error is what that node said.
func TestFailedStart(t *testing.T) {
	c := create(t, 3)
	if err := os.Mkdir(c.Nodes[1].Dir+"/fail", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := c.Start(t.Context(), self(t), c.Nodes)
	if err == nil || err.Error() != "node 2 did not start: port in use" || advice.Of(err) != "ss -ltn" {
		t.Errorf("got %v, hint %q", err, advice.Of(err))
	}
	if running, err := c.running(); err != nil || len(running) != 0 {
		t.Errorf("DC2: %v still run, %v", running, err)
	}
	if err := os.Remove(c.Nodes[1].Dir + "/fail"); err != nil {
		t.Fatal(err)
	}
	mustStart(t, c, 3)
}

func TestStartThatTakesTooLong(t *testing.T) {
	c := create(t, 2)
	if err := os.Mkdir(c.Nodes[0].Dir+"/wait", 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { // enough, once node 1 waits
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if s := c.Nodes[0].State(ctx); ctx.Err() != nil || s.Status != nil && s.Status.Phase == control.Waiting {
				cancel()
				return
			}
		}
	}()
	_, err := c.Start(ctx, self(t), c.Nodes)
	if err == nil || err.Error() != "node 1 does not serve: waiting: no peers" {
		t.Errorf("got %v", err)
	}
	if running, err := c.running(); err != nil || len(running) != 0 {
		t.Errorf("DC2: %v still run, %v", running, err)
	}
}

// DC1: a lock file whose process is gone names nobody.
func TestStaleLockIsNobody(t *testing.T) {
	c := create(t, 1)
	data := c.Nodes[0].Config.Data
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, control.LockName), fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(c.Nodes); err != nil { // DC1: would end this test
		t.Error(err)
	}
}

// DC4: one command at a time.
func TestOneAtATime(t *testing.T) {
	c := create(t, 1)
	if _, err := Open(c.Dir); errs.KindOf(err) != errs.Busy || advice.Of(err) == "" {
		t.Errorf("DC4: got %v", err)
	}
	c.Close()
	again, err := Open(c.Dir)
	if err != nil || len(again.Nodes) != 1 || again.Nodes[0].Config.Listen != c.Nodes[0].Config.Listen {
		t.Fatalf("got %+v, %v", again, err)
	}
	c.lock = again.lock
}

// Each cluster listens at an address of its own: what is stopped does not lose its ports to another cluster.
func TestOwnAddresses(t *testing.T) {
	hosts := map[string]bool{}
	for range 3 {
		c := create(t, 2)
		host, _, err := net.SplitHostPort(c.Nodes[0].Config.Listen)
		if ip := net.ParseIP(host); err != nil || !ip.IsLoopback() || hosts[host] || host == "127.0.0.1" {
			t.Errorf("a cluster listens on %s, %v; others on %v", c.Nodes[0].Config.Listen, err, hosts)
		}
		if other, _, _ := net.SplitHostPort(c.Nodes[1].Config.Listen); other != host {
			t.Errorf("the nodes of a cluster listen on %s and %s", host, other)
		}
		hosts[host] = true
	}
}

func TestBadDirectories(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, errs.NotFound) || !strings.HasPrefix(advice.Of(err), "dfs dev start ") {
		t.Errorf("empty: %v, hint %q", err, advice.Of(err))
	}
	if err := os.WriteFile(dir+"/thesis.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Options{Nodes: 3}); errs.KindOf(err) != errs.NotEmpty {
		t.Errorf("full: %v", err)
	}
	if _, err := Create(dir+"/x", Options{Nodes: 99}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("99 nodes: %v", err)
	}
	c := create(t, 2)
	for _, bad := range []string{"0", "3", "-1", "x", ""} {
		if _, err := c.Select(bad); errs.KindOf(err) != errs.Invalid || advice.Of(err) == "" {
			t.Errorf("Select(%q): %v", bad, err)
		}
	}
	if all, err := c.Select("all"); err != nil || len(all) != 2 {
		t.Errorf("Select(all): %v, %v", all, err)
	}
}
