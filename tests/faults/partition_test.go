package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dfs/devcluster"
	"dfs/ids"
	"dfs/node"
)

// network is a bridge with a network namespace for each node of a cluster, all of it made by the test.
type network struct {
	t    testing.TB
	name string // begins the names of all that is made
}

func (w *network) space(n int) string { return fmt.Sprint(w.name, "n", n) }
func (w *network) port(n int) string  { return fmt.Sprint(w.name, "p", n) }
func address(n int) string            { return fmt.Sprint("10.177.0.", n) }

// nowhere is the link address of nobody.
const nowhere = "02:00:00:00:00:ff"

func (w *network) try(args ...string) error {
	var stderr bytes.Buffer
	cmd := exec.Command("ip", args...)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func (w *network) must(line string) {
	w.t.Helper()
	if err := w.try(strings.Fields(line)...); err != nil {
		w.t.Fatal(err)
	}
}

// newNetwork skips the test where namespaces cannot be made. Everything is taken away with the test (F6).
func newNetwork(t testing.TB) *network {
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces takes root")
	}
	for _, tool := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here: apt-get install iproute2 util-linux", tool)
		}
	}
	w := &network{t, fmt.Sprint("d", os.Getpid()%100000)}
	if err := w.try("netns", "add", w.space(1)); err != nil {
		t.Skipf("network namespaces cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		for n := 1; n <= size; n++ {
			w.try("link", "del", w.port(n)) // with its other end
			if err := w.try("netns", "del", w.space(n)); err != nil {
				t.Errorf("F6: %v", err)
			}
		}
		w.try("link", "del", w.name)
	})
	for n := 2; n <= size; n++ {
		w.must("netns add " + w.space(n))
	}
	if err := w.try("link", "add", w.name, "type", "bridge"); err != nil {
		t.Skipf("a bridge cannot be made here: %v", err)
	}
	for n := 1; n <= size; n++ {
		w.must(fmt.Sprintf("link add %s type veth peer name eth0 netns %s", w.port(n), w.space(n)))
		w.must(fmt.Sprintf("link set %s master %s up", w.port(n), w.name))
		w.must(fmt.Sprintf("-n %s addr add %s/24 dev eth0", w.space(n), address(n)))
		w.must(fmt.Sprintf("-n %s link set lo up", w.space(n)))
		w.must(fmt.Sprintf("-n %s link set eth0 up", w.space(n)))
	}
	w.must(fmt.Sprintf("link set %s up", w.name))
	return w
}

// lose has all that one node sends to another lost, without anyone being told.
func (w *network) lose(from, to int) {
	w.t.Helper()
	w.must(fmt.Sprintf("-n %s neigh replace %s lladdr %s dev eth0 nud permanent", w.space(from), address(to), nowhere))
}

// cut loses everything between node a and the others, both ways.
func (w *network) cut(a int, others ...int) {
	w.t.Helper()
	for _, b := range others {
		w.lose(a, b)
		w.lose(b, a)
	}
}

// heal ends all losses.
func (w *network) heal() {
	for a := 1; a <= size; a++ {
		for b := 1; b <= size; b++ {
			if a != b {
				w.try("-n", w.space(a), "neigh", "del", address(b), "dev", "eth0")
			}
		}
	}
}

// startIn makes a cluster whose nodes are each in a namespace of the network.
func startIn(t testing.TB, w *network) *cluster {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	peers := map[string]string{}
	for n := 1; n <= size; n++ {
		peers[fmt.Sprint(n)] = address(n) + ":7940"
	}
	for n := 1; n <= size; n++ {
		base := filepath.Join(dir, fmt.Sprint("node", n))
		config := node.Config{
			Cluster: "faults", ID: ids.NodeID(n), Listen: address(n) + ":7940", Peers: peers, Insecure: true,
			Data: filepath.Join(base, "data"), Mount: filepath.Join(dir, fmt.Sprint("mnt", n)),
		}
		text, err := config.Encode()
		if err == nil {
			err = os.MkdirAll(base, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(base, "node.toml"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dev, err := devcluster.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	// The program is told its namespace by the name of its node's configuration.
	script := filepath.Join(t.TempDir(), "dfs")
	text := fmt.Sprintf("#!/bin/sh\nn=${3%%/node.toml}\nexec nsenter --net=/run/netns/%sn${n##*node} %s \"$@\"\n", w.name, binary)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t, dev, script}
	c.endWithTest()
	// Ports are free in the namespaces; that they cannot be bound here must not have them assigned anew.
	for n := 1; n <= size; n++ {
		c.begin(n)
	}
	for n := 1; n <= size; n++ {
		c.awaitMembers(n, size)
	}
	return c
}

// begin starts a node of a network without waiting for it.
func (c *cluster) begin(n int) {
	c.t.Helper()
	m := c.Nodes[n-1]
	log, err := os.Create(m.LogPath())
	if err == nil {
		err = os.MkdirAll(m.Config.Mount, 0o755)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(c.program, "node", "--config", m.ConfigPath())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	go cmd.Wait()
}

// Losses of the network: a majority goes on, who is cut off answers nothing stale, all agree afterwards.
func TestPartitions(t *testing.T) {
	w := newNetwork(t)
	c := startIn(t, w)
	for _, p := range []struct {
		name    string
		cut     func()
		far     int // who may not be able to go on, 0 if that depends
		through int // who must
	}{
		{"node 3 alone", func() { w.cut(3, 1, 2) }, 3, 1},
		{"node 1 alone", func() { w.cut(1, 2, 3) }, 1, 2},
		{"node 3 hears nobody", func() { w.lose(1, 3); w.lose(2, 3) }, 3, 1},
		{"nobody hears node 1", func() { w.lose(1, 2); w.lose(1, 3) }, 1, 2},
		{"node 1 does not reach node 3", func() { w.lose(1, 3) }, 0, 2},
		{"nodes 1 and 3 apart, both with node 2", func() { w.cut(1, 3) }, 0, 2},
	} {
		c.partition(w, p.name, p.cut, p.far, p.through)
	}
}

func (c *cluster) partition(w *network, name string, cut func(), far, through int) {
	t := c.t
	t.Helper()
	file := strings.ReplaceAll(name, " ", "-")
	near, away := spawn(t, "calls"), spawn(t, "calls")
	cutOff := max(far, 1)
	near.must(t, call{Op: "create", Path: c.path(through, file)})
	near.must(t, call{Op: "put", Path: c.path(through, file), Data: "old"})
	away.must(t, call{Op: "get", Path: c.path(cutOff, file)})

	began := monotonic()
	cut()
	var stall time.Duration
	for time.Duration(monotonic()-began) < 2*suspicion {
		put := near.must(t, call{Op: "put", Path: c.path(through, file), Data: "new"})
		stall = max(stall, time.Duration(put.End-put.Begin))
	}
	t.Logf("%s: node %d was held up for %v", name, through, stall)
	get := away.later(call{Op: "get", Path: c.path(cutOff, file)})
	other := spawn(t, "calls")
	made := other.later(call{Op: "create", Path: c.path(cutOff, file+"-made")})
	for range 20 { // the majority is in use
		near.must(t, call{Op: "put", Path: c.path(through, file), Data: "new"})
	}
	if far != 0 {
		select {
		case a := <-get:
			t.Errorf("F2: %s: node %d answers %+v while it is cut off", name, far, a)
		case a := <-made:
			t.Errorf("F2: %s: node %d makes a file while it is cut off: %+v", name, far, a)
		default:
		}
	}
	healed := monotonic()
	w.heal()
	if a := await(t, name+": get", get); a.Data != "new" {
		t.Errorf("F3: %s: node %d reads %q", name, cutOff, a.Data)
	}
	await(t, name+": create", made)
	t.Logf("%s: node %d is back after %v", name, cutOff, time.Duration(monotonic()-healed))
	for n := 1; n <= size; n++ {
		c.awaitMembers(n, size)
		near.must(t, call{Op: "stat", Path: c.path(n, file+"-made")})
		if a := near.must(t, call{Op: "get", Path: c.path(n, file)}); a.Data != "new" {
			t.Errorf("F1: %s: after healing node %d reads %q", name, n, a.Data)
		}
	}
}
