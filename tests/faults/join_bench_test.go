package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dfs/control"
	"dfs/devcluster"
	"dfs/node"
)

// lagSize is how much a node that returns has missed.
const lagSize = 1 << 30

// How long a writer is held up when a node comes or goes: the longest create+write+close at another node, from before
// that until well after it. Give -benchtime 5x; the least that one can hope for is what the writer takes before.
func BenchmarkJoin(b *testing.B) {
	b.Run("restart", func(b *testing.B) {
		c := start(b, devOptions)
		measureJoin(b, c, func() { c.kill(3) }, func() { c.restart(3) })
	})
	b.Run("stop", func(b *testing.B) {
		c := start(b, devOptions)
		measureJoin(b, c, func() { c.restart(3) }, func() {
			if _, err := c.Stop(c.selected([]int{3})); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("return1GiB", func(b *testing.B) {
		c := start(b, devOptions)
		measureJoin(b, c, func() {
			c.kill(3)
			writeLag(b, c.path(2, "lag"))
		}, func() { c.restart(3) })
	})
	b.Run("fourth", func(b *testing.B) {
		c := newSecure(b)
		measureJoin(b, c.cluster, func() { c.trim(3) }, func() { c.grow() })
	})
	b.Run("leave", func(b *testing.B) {
		c := newSecure(b)
		measureJoin(b, c.cluster, func() { c.grow() }, func() { c.trim(3) })
	})
}

// measureJoin reports how long the writer at node 1 is held up by what change does.
func measureJoin(b *testing.B, c *cluster, prepare, change func()) {
	const settled = 50 // turns of the writer
	var stalls, usual times
	for i := range b.N {
		b.StopTimer()
		prepare()
		dir := fmt.Sprint("turn", i)
		if err := os.Mkdir(c.path(1, dir), 0o755); err != nil {
			b.Fatal(err)
		}
		loop := c.create(1, dir)
		waitFor(b, "the writer", func() bool { return len(loop.since(0)) > 4*settled })
		usual = append(usual, longest(loop.since(0)))
		b.StartTimer()
		began := monotonic()
		change()
		after := monotonic()
		waitFor(b, "the writer to go on", func() bool { return len(loop.since(after)) > settled })
		stalls = append(stalls, longest(loop.since(began)))
		loop.finish()
	}
	b.Logf("longest write: %v; before: %v", stalls, usual)
	b.ReportMetric(ms(stalls.at(50)), "p50-ms")
	b.ReportMetric(ms(stalls.at(100)), "max-ms")
	b.ReportMetric(ms(usual.at(50)), "usual-p50-ms")
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// writeLag writes what a node that is away lacks afterwards.
func writeLag(b *testing.B, path string) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for off := 0; off < lagSize && err == nil; off += len(piece) {
		_, err = f.Write(piece)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// secure is a cluster as dfs init and dfs join make it, whose nodes come and go.
type secure struct {
	*cluster
	dir    string
	number int // of the last node made
}

func newSecure(b *testing.B) *secure {
	c := &secure{dir: filepath.Join(b.TempDir(), "cluster")}
	made, err := node.Init(c.config(b))
	if err != nil {
		b.Fatal(err)
	}
	c.add(b, made)
	dev, err := devcluster.Open(c.dir)
	if err != nil {
		b.Fatal(err)
	}
	c.cluster = &cluster{b, dev, binary}
	c.endWithTest()
	c.restart(1)
	for len(c.Nodes) < size {
		c.grow()
	}
	return c
}

// config is that of the next node.
func (c *secure) config(t testing.TB) node.Config {
	c.number++
	mount := filepath.Join(c.dir, "mnt"+strconv.Itoa(c.number))
	if err := os.MkdirAll(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	return node.Config{
		Cluster: "faults", Listen: freeAddress(t), Data: filepath.Join(c.dir, "node"+strconv.Itoa(c.number), "data"), Mount: mount,
	}
}

// freeAddress is one that nobody listens on, below those that the kernel gives to connections that go out.
func freeAddress(t testing.TB) string {
	for range 1000 {
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 17000+rand.IntN(15000))); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// add puts the configuration of a node where package devcluster reads it.
func (c *secure) add(t testing.TB, made *node.New) *devcluster.Node {
	n := &devcluster.Node{N: c.number, Dir: filepath.Dir(made.Config.Data), Config: made.Config}
	text, err := os.ReadFile(filepath.Join(made.Config.Data, node.ConfigName))
	if err == nil {
		err = os.WriteFile(n.ConfigPath(), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// grow has one more node join and serve.
func (c *secure) grow() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config := c.config(c.t)
	got, err := control.Ask(ctx, c.Nodes[0].Config.Data, control.Request{Command: control.CommandToken, Lifetime: 600})
	if err != nil {
		c.t.Fatal(err)
	}
	made, err := node.Join(ctx, got.Token, config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Nodes = append(c.Nodes, c.add(c.t, made))
	c.restart(len(c.Nodes))
	c.awaitMembers(len(c.Nodes), len(c.Nodes))
}

// trim has the last nodes leave until so many are left.
func (c *secure) trim(left int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(c.Nodes) > left {
		last := c.Nodes[len(c.Nodes)-1]
		if _, err := control.Ask(ctx, last.Config.Data, control.Request{Command: control.CommandLeave}); err != nil {
			c.t.Fatal(err)
		}
		c.Nodes = c.Nodes[:len(c.Nodes)-1]
		c.awaitMembers(1, len(c.Nodes))
	}
}
