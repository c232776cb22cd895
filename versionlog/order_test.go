package versionlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"dfs/nvm"
	"dfs/record"
)

// traced is a log on persistent memory with all its stores, and what it had promised after each.
type traced struct {
	dir       *nvm.Traced
	sizes     []int
	attempted []int // by events: records given to Append
	synced    []int // records that a Sync had covered
}

// traceLog writes a few records, over the end of a segment.
func traceLog(t *testing.T) *traced {
	w := &traced{dir: nvm.NewTraced(), sizes: []int{0, 0, 100, 5000, 0, 40_000, 30_000, 70, 1}}
	attempted, synced := 0, 0
	upTo := func() {
		for n := len(w.dir.Events()); len(w.attempted) <= n; {
			w.attempted, w.synced = append(w.attempted, attempted), append(w.synced, synced)
		}
	}
	l := open(t, w.dir)
	for i := 1; i < len(w.sizes); {
		var batch []record.Record
		for n := 1 + i%2; n > 0 && i < len(w.sizes); n-- {
			batch = append(batch, rec(i, w.sizes[i]))
			i++
		}
		upTo()
		attempted = i - 1
		l.mustAppend(t, batch...)
		upTo()
		w.attempted[len(w.attempted)-1] = attempted
		if i%3 != 0 || i == len(w.sizes) {
			l.mustSync(t)
			upTo()
			synced = i - 1
			w.synced[len(w.synced)-1] = synced
		}
	}
	if err := l.reads.close(); err != nil {
		t.Fatal(err)
	}
	upTo()
	return w
}

// recovered opens the log as a power failure may leave it, and reports whether it is what was promised.
func (w *traced) recovered(after, skip int, pick func(int) int) bool {
	l, err := Open(Config{Dir: w.dir.Crash(after, skip, pick), SegmentSize: testSize})
	if err != nil {
		return false
	}
	defer l.Close()
	n := 0
	err = l.Scan(0, func(_ LSN, r record.Record) error { // verifies them
		if n++; string(r.Op()) != fmt.Sprintf("operation %d", n) || !bytes.Equal(r.Data(), pattern(n, w.sizes[n])) {
			return errors.New("another record")
		}
		return nil
	})
	return err == nil && n >= w.synced[after] && n <= w.attempted[after]
}

// L1: on persistent memory, whatever order the hardware gives to stores that no fence has ordered, what is recovered
// is a prefix, with all that a Sync covered. And each flush and fence of a segment is needed for that.
func TestStoreOrder(t *testing.T) {
	t.Parallel() // it takes its time
	w := traceLog(t)
	events := w.dir.Events()
	limit := 1000
	if testing.Short() {
		limit = 20
	}
	rng := rand.New(rand.NewPCG(5, 5))
	tried := 0
	for after := range len(events) + 1 {
		nvm.Choices(limit, rng, func(pick func(int) int) {
			tried++
			if !w.recovered(after, -1, pick) {
				t.Fatalf("L1: after %d of %d steps", after, len(events))
			}
		})
	}
	t.Logf("%d states of %d steps", tried, len(events))
	for skip, e := range events {
		if e.Kind != nvm.Flushed && e.Kind != nvm.Fenced || !w.promises(skip) {
			continue
		}
		caught := false
		for after := skip + 1; after <= len(events) && !caught; after++ {
			nvm.Choices(8, rng, func(pick func(int) int) { caught = caught || !w.recovered(after, skip, pick) })
		}
		if !caught {
			t.Errorf("L1: step %d of %d, %s, can be left out unnoticed", skip, len(events), e.Name)
		}
	}
}

// promises reports whether a step belongs to an Append: those of Open promise nothing yet, and the mark is a hint.
func (w *traced) promises(step int) bool {
	e := w.dir.Events()
	before := step - 1 // what the fence is for
	for before > 0 && e[before].Kind == nvm.Fenced {
		before--
	}
	return w.attempted[step] > 0 && e[before].Name != markName && e[step].Name != markName
}
