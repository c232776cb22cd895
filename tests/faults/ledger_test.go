package faults

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Records of the shared log have one length, so a lost or doubled part of one shows.
const (
	recordFormat = "%d %08d ....\n" // node, number from 1
	recordBytes  = 16
	syncEvery    = 5 // records for each fsync
)

// ledger is what the writer of one node in one cycle was told.
type ledger struct {
	*process
	node                 int
	tried, wrote, synced atomic.Int64 // the last number for which the call was begun, returned, is covered by fsync
	lived                bool         // the node was not killed meanwhile
}

// appendRecords is the agent that appends numbered records to the log that all share, until it is asked to end or
// its node is gone.
func appendRecords(args []string) error {
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	node, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	end := asked()
	for k := 1; ; k++ {
		fmt.Println("tried", k)
		if n, err := fmt.Fprintf(f, recordFormat, node, k); err != nil || n != recordBytes {
			return errors.Join(err, io.ErrShortWrite)
		}
		fmt.Println("wrote", k)
		if k%syncEvery != 0 {
			continue
		}
		if err := f.Sync(); err != nil {
			return err
		}
		fmt.Println("synced", k)
		select {
		case <-end:
			return f.Close()
		default:
		}
	}
}

// keep starts a writer at a node.
func (c *cluster) keep(node int, log string) *ledger {
	c.t.Helper()
	l := &ledger{process: spawn(c.t, "append", c.path(node, log), strconv.Itoa(node)), node: node, lived: true}
	l.follow(func(line string) {
		var what string
		var k int64
		if n, _ := fmt.Sscan(line, &what, &k); n != 2 {
			return
		}
		switch what {
		case "tried":
			l.tried.Store(k)
		case "wrote":
			l.wrote.Store(k)
		case "synced":
			l.synced.Store(k)
		}
	})
	return l
}

// account is what remains of a cycle to be checked again later.
type account struct {
	log  string
	text string
}

// check compares what a node has of a log with what the writers were told (F1), and returns the text.
func check(t testing.TB, node int, text string, ledgers []*ledger) {
	t.Helper()
	if len(text)%recordBytes != 0 {
		t.Errorf("F1: node %d: the log has %d bytes, not a number of records", node, len(text))
	}
	last := map[int]int64{}
	for i := 0; i+recordBytes <= len(text); i += recordBytes {
		line := text[i : i+recordBytes]
		var writer int
		var k int64
		if _, err := fmt.Sscanf(line, recordFormat, &writer, &k); err != nil {
			t.Fatalf("F1: node %d: %q at %d: %v", node, line, i, err)
		}
		if k != last[writer]+1 {
			t.Fatalf("F1: node %d: after record %d of writer %d comes %d", node, last[writer], writer, k)
		}
		last[writer] = k
	}
	for _, l := range ledgers {
		need := l.synced.Load()
		if l.lived {
			need = l.wrote.Load()
		}
		if got := last[l.node]; got < need || got > l.tried.Load() {
			t.Errorf("F1: node %d: writer %d has %d records there; it tried %d, wrote %d, synced %d, its node lived: %v",
				node, l.node, got, l.tried.Load(), l.wrote.Load(), l.synced.Load(), l.lived)
		}
	}
}

// text reads a file through the mount of a node, as a process of its own.
func (c *cluster) text(node int, name string) string {
	c.t.Helper()
	p := spawn(c.t, "calls")
	defer p.end()
	to := filepath.Join(c.t.TempDir(), "copy")
	p.must(c.t, call{Op: "copy", Path: c.path(node, name), To: to})
	b, err := os.ReadFile(to)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// victims are the nodes that one cycle kills: one at random, all, one at random, two at random.
func victims(cycle int, order []int) []int {
	return order[:[]int{1, size, 1, 2}[cycle%4]]
}

// Kill -9 of one, two or all nodes under load, again and again, and return while the others are in use.
func TestKillCycles(t *testing.T) {
	t.Parallel()
	c, rng := start(t, devOptions), newRand(t)
	var accounts []account
	records := 0
	r := &recovery{}
	for cycle := range *cycleCount {
		dead := victims(cycle, perm(rng))
		a := account{log: fmt.Sprintf("log%04d", cycle)}
		ledgers := c.cycle(a.log, dead, r)
		c.awaitMembers(1, size)
		for n := 1; n <= size; n++ {
			text := c.text(n, a.log)
			if check(t, n, text, ledgers); a.text == "" {
				a.text = text
			}
			if text != a.text {
				t.Errorf("F1: nodes 1 and %d differ in %s", n, a.log)
			}
		}
		if t.Failed() {
			t.Fatalf("cycle %d, killed %v", cycle, dead)
		}
		records += len(a.text) / recordBytes
		accounts = append(accounts, a)
		if cycle%10 == 9 || cycle == *cycleCount-1 { // what was right stays right
			for _, a := range accounts[max(0, len(accounts)-20):] {
				if c.text(1+cycle%size, a.log) != a.text {
					t.Fatalf("F1: %s has changed since", a.log)
				}
			}
			t.Logf("%d cycles, %d records; %v", cycle+1, records, r)
		}
	}
}

// recovery says how long the nodes of the cycles took.
type recovery struct {
	without times // kill of one to the next records synced by each of the others
	back    times // start of those killed until all serve
}

func (r *recovery) String() string {
	return fmt.Sprintf("kill of one to the next %d records of the others: %v; start of the dead until they serve: %v", 3*syncEvery, r.without, r.back)
}

// cycle keeps ledgers at all nodes while some are killed and come back. F2: who is a majority goes on meanwhile.
func (c *cluster) cycle(log string, dead []int, r *recovery) (ledgers []*ledger) {
	c.t.Helper()
	progress := func(what string, all []*ledger) {
		var from []int64
		for _, l := range all {
			from = append(from, l.synced.Load())
		}
		for i, l := range all {
			waitFor(c.t, fmt.Sprintf("the writer at node %d %s", l.node, what), func() bool { return l.synced.Load() > from[i]+3*syncEvery })
		}
	}
	for n := 1; n <= size; n++ {
		ledgers = append(ledgers, c.keep(n, log))
	}
	progress("to begin", ledgers)
	for _, n := range dead {
		ledgers[n-1].lived = false
	}
	killed := time.Now()
	c.kill(dead...)
	living := []*ledger{}
	for _, l := range ledgers {
		if l.lived {
			living = append(living, l)
		}
	}
	if len(living) > size/2 {
		progress("to go on without "+strings.Trim(fmt.Sprint(dead), "[]"), living)
		r.without = append(r.without, time.Since(killed))
	}
	started := time.Now()
	c.restart(dead...)
	r.back = append(r.back, time.Since(started))
	progress("to go on", living)
	for _, l := range ledgers {
		if l.lived {
			l.finish()
		} else {
			l.end()
		}
	}
	return ledgers
}
