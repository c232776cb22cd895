package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ledger is what one writer was told: which numbers it wrote, and which of them an fsync covers. The writer
// is a process of its own on one node: it holds files open while nodes are killed, and a process that
// starts others must not, since starting one closes files and so waits for the cluster.
type ledger struct {
	node          int
	folder        string
	cmd           *exec.Cmd
	wrote, synced atomic.Int64
	ended         chan struct{}
}

// writers by the name that DFS_TEST_WRITER has in their process.
var writers = map[string]func(dir string) error{"pair": writePair, "append": writeAppend}

// startWriter starts a writer in a new directory on a node.
func startWriter(c *cluster, kind string, node int, folder string) *ledger {
	c.t.Helper()
	l := &ledger{node: node, folder: folder, ended: make(chan struct{})}
	if err := os.Mkdir(c.path(node, folder), 0o755); err != nil {
		c.t.Fatal(err)
	}
	l.cmd = exec.Command(os.Args[0])
	l.cmd.Env = append(os.Environ(), "DFS_TEST_WRITER="+kind, "DFS_TEST_DIR="+c.path(node, folder))
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(l.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var what string
			var k int64
			if n, _ := fmt.Sscan(lines.Text(), &what, &k); n == 2 && what == "wrote" {
				l.wrote.Store(k)
			} else if n == 2 && what == "synced" {
				l.synced.Store(k)
			}
		}
	}()
	c.t.Cleanup(l.end)
	return l
}

// end ends the writer, if it still runs, and waits until all that it said is known.
func (l *ledger) end() {
	_ = l.cmd.Process.Kill()
	<-l.ended
	_ = l.cmd.Wait()
}

// writePair writes numbers until something fails: number k goes to file k%2 as a line of its own. Every few it
// calls fsync on both. Two files in turn tell a causal prefix from other subsets.
func writePair(dir string) error {
	var files [2]*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(dir, pairNames[i]))
		if err != nil {
			return err
		}
		files[i] = f
	}
	for k := int64(1); ; k++ {
		fmt.Println("wrote", k)
		if _, err := fmt.Fprintf(files[k%2], "%09d\n", k); err != nil {
			return err
		}
		if k%7 == 0 {
			for _, f := range files {
				if err := f.Sync(); err != nil {
					return err
				}
			}
			fmt.Println("synced", k)
		}
	}
}

var pairNames = [2]string{"a", "b"}

const appends = 400

// writeAppend appends numbers, with an fsync now and then.
func writeAppend(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	for k := range appends {
		if _, err := fmt.Fprintf(f, "%05d\n", k); err != nil {
			return err
		}
		if k%20 == 0 {
			if err := f.Sync(); err != nil {
				return err
			}
		}
		fmt.Println("wrote", k)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	fmt.Println("synced", appends)
	return nil
}

// check reads the two files on a node: they must hold a prefix of what was written, without a gap or a
// duplicate, and everything that was synced.
func (l *ledger) check(c *cluster, node int) {
	c.t.Helper()
	last := [2]int64{}
	for i, name := range pairNames {
		b, err := os.ReadFile(c.path(node, l.folder, name))
		if errors.Is(err, os.ErrNotExist) && l.synced.Load() == 0 {
			continue
		}
		if err != nil {
			c.t.Fatalf("node %d: %v, synced were %d", node, err, l.synced.Load())
		}
		next := int64(2 - i)
		for line := range strings.Lines(string(b)) {
			var k int64
			if _, err := fmt.Sscanf(line, "%09d\n", &k); err != nil || k != next {
				c.t.Fatalf("node %d: %s/%s has %q where %d belongs", node, l.folder, name, line, next)
			}
			last[i], next = k, next+2
		}
	}
	low, high := min(last[0], last[1]), max(last[0], last[1])
	if high > 0 && high-low != 1 && !(high == 1) {
		c.t.Fatalf("node %d: the files of %s end with %d and %d: not a prefix of what was written", node, l.folder, last[0], last[1])
	}
	if high < l.synced.Load() {
		c.t.Fatalf("node %d: %s ends with %d, but %d was synced", node, l.folder, high, l.synced.Load())
	}
	if high > l.wrote.Load() {
		c.t.Fatalf("node %d: %s ends with %d, but only %d were written", node, l.folder, high, l.wrote.Load())
	}
}

// Kill -9 of everything, or of one node, at any moment under load: what was synced is there on every
// node, the rest is a causal prefix, and the past is as it was.
func TestKillUnderLoad(t *testing.T) {
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	c := start(t)
	c.write(1, "fixed", "before everything")
	info, err := os.Stat(c.path(1, "fixed"))
	if err != nil {
		t.Fatal(err)
	}
	past := "@t=" + stamp(info.ModTime())
	var ledgers []*ledger
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		victim := "all"
		if round%2 == 1 {
			victim = fmt.Sprint(1 + rng.IntN(3))
		}
		var current []*ledger
		for node := 1; node <= 3; node++ {
			current = append(current, startWriter(c, "pair", node, fmt.Sprintf("round%d-node%d", round, node)))
		}
		enough := int64(50 + rng.IntN(400))
		waitFor(t, "writers to get going", func() bool {
			return current[0].synced.Load()+current[1].synced.Load()+current[2].synced.Load() > enough
		})
		c.dfs("dev", "kill", c.dir, victim)
		c.dfs("dev", "restart", c.dir, victim)
		for _, l := range current {
			l.end()
		}
		ledgers = append(ledgers, current...)
		for _, l := range ledgers {
			for node := 1; node <= 3; node++ {
				l.check(c, node)
			}
		}
		for node := 1; node <= 3; node++ {
			if got := c.read(node, past, "fixed"); got != "before everything" {
				t.Fatalf("round %d: node %d reads %q in the past", round, node, got)
			}
			entries, err := os.ReadDir(c.path(node, past))
			if err != nil || len(entries) != 1 {
				t.Fatalf("round %d: node %d: the past changed: %v, %v", round, node, entries, err)
			}
		}
	}
	for i, l := range ledgers {
		t.Logf("ledger %d: node %d wrote %d, synced %d", i, l.node, l.wrote.Load(), l.synced.Load())
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited two minutes for %s", what)
		}
		<-tick.C
	}
}

// While one member is away, the others wait with their writes and go on when it is back; nothing is
// applied twice.
func TestWritersWaitForMember(t *testing.T) {
	c := start(t)
	l := startWriter(c, "append", 1, "w")
	for k := range 3 {
		waitFor(t, "the writer", func() bool { return l.wrote.Load() >= int64(100*k+20) })
		victim := fmt.Sprint(2 + k%2)
		c.dfs("dev", "kill", c.dir, victim)
		c.dfs("dev", "restart", c.dir, victim)
	}
	waitFor(t, "the writer's end", func() bool { return l.synced.Load() == appends })
	var want strings.Builder
	for k := range appends {
		fmt.Fprintf(&want, "%05d\n", k)
	}
	for n := 1; n <= 3; n++ {
		if got := c.read(n, "w", "log"); got != want.String() {
			t.Errorf("node %d has %d bytes, want %d", n, len(got), want.Len())
		}
	}
}

// A byte changed in the middle of a log is reported with file and place, and never served.
func TestDamagedLog(t *testing.T) {
	c := start(t)
	for k := range 50 {
		c.write(1, fmt.Sprint("f", k), strings.Repeat("x", 5000))
	}
	f, err := os.Open(c.path(1, "f0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	c.dfs("dev", "kill", c.dir, "all")
	segments, err := filepath.Glob(filepath.Join(c.dir, "node2", "data", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var segment string
	for _, s := range segments {
		if info, err := os.Stat(s); err == nil && info.Size() >= 64<<20 && (segment == "" || s < segment) {
			segment = s
		}
	}
	if segment == "" {
		t.Fatalf("no segment among %v", segments)
	}
	log, err := os.OpenFile(segment, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b := make([]byte, 1)
	if _, err := log.ReadAt(b, 64<<10); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := log.WriteAt(b, 64<<10); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.dir, "node2", "data", "index")); err != nil {
		t.Fatal(err)
	}
	out, err := runDFS("dev", "restart", c.dir, "all")
	if err == nil {
		for k := range 50 {
			if got, err := os.ReadFile(c.path(2, fmt.Sprint("f", k))); err == nil && string(got) != strings.Repeat("x", 5000) {
				t.Fatalf("f%d reads wrong bytes", k)
			}
		}
		t.Fatalf("a node with a damaged log started")
	}
	if !strings.Contains(out, filepath.Base(segment)) || !strings.Contains(out, "dfs: hint:") {
		t.Errorf("the damage is not named: %s", out)
	}
}
