package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seedsFlag = flag.Int("seeds", 500, "how many seeds to run")
	seedFlag  = flag.Uint64("seed", 0, "run this seed only")
	firstFlag = flag.Uint64("first", 1, "the first of the seeds")
	stopFlag  = flag.Bool("stop", false, "stop at the first seed that fails")
	rareFlag  = flag.Bool("rare", false, "only those of the seeds in which the configured nodes change or bits rot")
	traceFlag = flag.Bool("trace", false, "show everything that happens, with -seed")
)

// What a run holds is small and lives briefly: a quarter of the time went into collecting it.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

// report is what is said of a seed that failed.
func report(w *world, failed string) string {
	return fmt.Sprintf("seed %d, after %v of virtual time, with %d nodes:\n%s\n\nthe last events:\n%s\nreplay: go test ./tests/sim -run TestSim -args -seed=%d -trace\n",
		w.seed, w.now(), len(w.machines), failed, w.trace.last(), w.seed)
}

// TestSim runs the seeds, on all processors, one goroutine each.
func TestSim(t *testing.T) {
	if *seedFlag != 0 {
		w := newWorld(*seedFlag)
		if *traceFlag {
			w.trace.show = func(line string) { t.Log(line) }
		}
		if failed := w.run(); failed != "" {
			t.Fatal(report(w, failed))
		}
		t.Log(summary(1, 0, w.count))
		return
	}
	seeds := *seedsFlag
	if testing.Short() {
		seeds = min(seeds, 20)
	}
	enough := 3
	if *stopFlag {
		enough = 1
	}
	began := time.Now()
	var mu sync.Mutex
	var total counters
	var points points
	next, failures, ran := *firstFlag, 0, 0
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				stop := seed >= *firstFlag+uint64(seeds) || failures >= enough
				mu.Unlock()
				if stop {
					return
				}
				w := newWorld(seed)
				if *rareFlag && w.spares == 0 && !w.rots {
					continue
				}
				failed := w.run()
				mu.Lock()
				ran++
				total.add(w.count)
				points.add(&w.faults.points)
				if failed != "" {
					failures++
					t.Error(report(w, failed))
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Log(summary(ran, time.Since(began), total))
	t.Logf("the change of views, and the trouble made in it:\n%s", &points)
}

func summary(seeds int, took time.Duration, c counters) string {
	return fmt.Sprintf("%d seeds in %v: %.1f simulated hours, %d operations, %d calls over, %d reads, %d reads of the past, %d syncs, %d crashes (%d of them power failures), %d broken links, %d views (%d times a survivor could not reach the end), %d logs cut, %d steps; data of %d operations looked for where it is kept, %d reads without an answer; %d changes of the configured nodes (%d of them of a node that had lost its disk), %d bits flipped, %d of them repaired",
		seeds, took.Round(time.Second), c.simulated.Hours(), c.ops, c.calls, c.reads, c.past, c.syncs, c.crashes, c.powerFailures, c.breaks, c.views, c.shortened, c.cuts, c.steps, c.homes, c.unread, c.changed, c.replaced, c.rotten, c.repaired)
}

// W10: the same seed gives the same run.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		var first uint64
		for round := range 2 {
			w := newWorld(seed)
			if failed := w.run(); failed != "" {
				t.Fatal(report(w, failed))
			}
			hash := w.trace.hash ^ w.net.Hash()
			if round == 0 {
				first = hash
			} else if hash != first {
				t.Errorf("W10: seed %d gave %x, then %x", seed, first, hash)
			}
		}
	}
}

// TestFoundSeeds runs the seeds that found bugs.
func TestFoundSeeds(t *testing.T) {
	files, err := filepath.Glob("testdata/seeds/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		seed, err := strconv.ParseUint(filepath.Base(name), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(seed)
		if failed := w.run(); failed != "" {
			t.Errorf("found before: %s\n%s", strings.TrimSpace(string(text)), report(w, failed))
		}
	}
}
