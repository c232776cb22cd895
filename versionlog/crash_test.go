package versionlog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"dfs/errs"
	"dfs/nvm"
	"dfs/record"
)

// workload appends and syncs as its seed says, until it is done or something fails.
type workload struct {
	sizes     []int
	attempted int // records given to Append
	appended  int // records that it took
	synced    int // records that a Sync covered
}

const workloadRecords = 30

func newWorkload(seed uint64) *workload {
	return &workload{sizes: sizesFor(rand.New(rand.NewPCG(seed, 7)), workloadRecords)}
}

// run goes on from record w.appended+1.
func (w *workload) run(d nvm.Dir) error {
	l, err := Open(Config{Dir: d, SegmentSize: testSize})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(w.appended), 3))
	for w.appended < workloadRecords {
		var batch []record.Record
		for i := w.appended + 1; i <= workloadRecords && len(batch) <= rng.IntN(6); i++ {
			batch = append(batch, rec(i, w.sizes[i]))
		}
		w.attempted = w.appended + len(batch)
		if _, err := l.Append(batch); err != nil {
			return errors.Join(err, l.reads.close())
		}
		w.appended = w.attempted
		if rng.IntN(3) == 0 {
			if _, err := l.Sync(); err != nil {
				return errors.Join(err, l.reads.close())
			}
			w.synced = w.appended
		}
	}
	err = l.Close()
	if err == nil {
		w.synced = w.appended
	}
	return err
}

// recoverAndGoOn opens what a crash left, checks it, and finishes the workload on it.
func (w *workload) recoverAndGoOn(t *testing.T, d *nvm.Strict, rng *rand.Rand) {
	t.Helper()
	l, err := Open(Config{Dir: d, SegmentSize: testSize})
	if err != nil {
		t.Fatalf("L1: after a crash: %v", err)
	}
	n := checkPrefix(t, l, w.sizes)
	if n < w.synced || n > w.attempted {
		t.Fatalf("L1: %d records, synced %d, attempted %d", n, w.synced, w.attempted)
	}
	if l.Durable() != l.End() {
		t.Fatalf("durable %d after opening, end %d", l.Durable(), l.End())
	}
	if v, _ := l.Last(); n == 0 && v != 0 {
		t.Fatalf("last version %v of nothing", v)
	}
	// What Open found stays, whatever comes next (L7).
	again := *w
	again.synced, again.appended, again.attempted = n, n, n
	d = d.Crash(rng)
	if err := again.run(d); err != nil {
		t.Fatalf("going on after a crash: %v", err)
	}
	l = open(t, d.Crash(rng))
	if n := checkPrefix(t, l, w.sizes); n != workloadRecords {
		t.Fatalf("L3: %d records of %d after going on", n, workloadRecords)
	}
}

// L1, L3, L7: the power is cut at every operation of a workload, with nothing, half or all of the
// write that it hits done, and storage then shows any mix of what was not synced.
func TestCrashAtEveryOperation(t *testing.T) {
	d := nvm.NewStrict()
	if err := newWorkload(1).run(d); err != nil {
		t.Fatal(err)
	}
	for n := range d.Ops() {
		for variant, keep := range []int{0, 10_000, 1 << 30} {
			d := nvm.NewStrict()
			d.DieAt(n, keep)
			w := newWorkload(1)
			if err := w.run(d); !errors.Is(err, errs.IO) {
				t.Fatalf("operation %d failed, and the workload said %v", n, err)
			}
			w.recoverAndGoOn(t, d.Crash(rand.New(rand.NewPCG(uint64(n), uint64(variant)))), rand.New(rand.NewPCG(uint64(n), 99)))
			if variant == 2 {
				w.recoverAndGoOn(t, d.Crash(nil), nil)
			}
		}
	}
}

// L1: recovery itself may be interrupted at any operation.
func TestCrashDuringRecovery(t *testing.T) {
	d := nvm.NewStrict()
	if err := newWorkload(2).run(d); err != nil {
		t.Fatal(err)
	}
	w, half := newWorkload(2), d.Ops()/2
	d = nvm.NewStrict()
	d.DieAt(half, 30_000)
	if err := w.run(d); err == nil {
		t.Fatal("the workload has fewer operations")
	}
	for seed := range uint64(10) {
		crashed := d.Crash(rand.New(rand.NewPCG(seed, 0)))
		for n := 0; ; n++ {
			d := crashed.Crash(nil)
			d.DieAt(n, 100)
			l, err := Open(Config{Dir: d, SegmentSize: testSize})
			if err == nil {
				if err := l.reads.close(); err != nil {
					t.Fatal(err)
				}
				break
			}
			w.recoverAndGoOn(t, d.Crash(rand.New(rand.NewPCG(seed, uint64(n)))), nil)
		}
	}
}

// L1: a write torn at any word, of every kind of record, with and without filler and a new segment.
func TestTornAtEveryWord(t *testing.T) {
	small := func(kind record.Kind) func(i int) record.Record {
		return func(i int) record.Record {
			r := rec(i, 0)
			h := r.Header()
			h.Kind = kind
			op := append([]byte(nil), r.Op()...)
			r = record.Build(r, h, op)
			r.Deliver(version(i), stamp(i))
			return r
		}
	}
	data := func(n int) func(int) record.Record { return func(i int) record.Record { return rec(i, n) } }
	for name, c := range map[string]struct {
		before int // data of the record before, that decides where the torn one goes
		make   func(i int) record.Record
	}{
		"op":               {100, small(record.Op)},
		"view":             {100, small(record.View)},
		"mark":             {100, small(record.Mark)},
		"data":             {100, data(300)},
		"more blocks":      {100, data(4200)},
		"filler":           {testSize - 800, data(1000)},
		"filler of 64":     {testSize - 400, data(100)},
		"no room to fill":  {testSize - headerSize - 192, data(100)},
		"first in segment": {testSize - 64 - headerSize - 192, small(record.Op)},
	} {
		t.Run(name, func(t *testing.T) {
			for keep := 0; ; keep += 8 {
				d := nvm.NewStrict()
				l := open(t, d)
				l.mustAppend(t, rec(1, 10), rec(2, c.before))
				l.mustSync(t)
				r := c.make(3)
				d.SetHook(func(op nvm.Op) (int, error) {
					if op.Verb != nvm.Write {
						return 0, nil
					}
					return keep, errs.New(errs.IO, "torn")
				})
				if _, err := l.Append([]record.Record{r}); err == nil {
					t.Fatal("not torn")
				}
				l = open(t, d.Crash(nil))
				n := 0
				err := l.Scan(0, func(_ LSN, got record.Record) error {
					if n++; n > 2 && !bytes.Equal(got, r) {
						t.Fatalf("L1: torn at %d of %d: not the record that was appended", keep, len(r))
					}
					return nil
				})
				if err != nil || n < 2 {
					t.Fatalf("L1: torn at %d: %d records, %v", keep, n, err)
				}
				// Of the next one nothing is in the way.
				l.mustAppend(t, rec(3, 20))
				l.mustSync(t)
				if keep > len(r)+2000 {
					break
				}
			}
		})
	}
}

// L6: whichever operation fails, once, the log says so and does not go on, except for lack of space; and
// what it said to be durable is.
func TestFailEveryOperation(t *testing.T) {
	for _, kind := range []errs.Kind{errs.IO, errs.NoSpace} {
		for n := 0; ; n++ {
			d, seen := nvm.NewStrict(), 0
			d.FailNth(n, kind, n%2 == 0, func(op nvm.Op) bool {
				// Reading and syncing need no space.
				match := kind != errs.NoSpace || op.Verb == nvm.Create || op.Verb == nvm.Write
				if match {
					seen++
				}
				return match
			})
			w := newWorkload(3)
			err := runWithRetry(t, w, d)
			// Where lack of space is final it is no longer called that: it is not to be tried again.
			if err != nil && !errors.Is(err, kind) && !errors.Is(err, errs.IO) {
				t.Fatalf("operation %d: error %v, want %v", n, err, kind)
			}
			d.SetHook(nil)
			w.recoverAndGoOn(t, d.Crash(nil), nil)
			w.recoverAndGoOn(t, d.Crash(rand.New(rand.NewPCG(uint64(n), 5))), rand.New(rand.NewPCG(uint64(n), 6)))
			if seen <= n {
				break // all have failed once
			}
		}
	}
}

// L4: after a failed sync the log is opened again on the same machine. It shows what storage may not
// have, so it must be written again before it is said to be durable.
func TestOpenAfterFailedSync(t *testing.T) {
	for seed := range uint64(20) {
		d := nvm.NewStrict()
		l := open(t, d)
		sizes := []int{0, 100, 5000, testSize - 2000, 5000}
		l.mustAppend(t, rec(1, sizes[1]))
		l.mustSync(t)
		for i := 2; i <= 4; i++ {
			l.mustAppend(t, rec(i, sizes[i]))
		}
		d.FailNth(int(seed%2), errs.IO, false, func(op nvm.Op) bool { return op.Verb == nvm.Persist })
		if _, err := l.Sync(); !errors.Is(err, errs.IO) {
			t.Fatal(err)
		}
		l = open(t, d)
		n := checkPrefix(t, l, sizes)
		if l.Durable() != l.End() {
			t.Fatalf("durable %d of %d", l.Durable(), l.End())
		}
		l = open(t, d.Crash(rand.New(rand.NewPCG(seed, 1))))
		if again := checkPrefix(t, l, sizes); again != n {
			t.Fatalf("L4: %d records were durable, %d are there", n, again)
		}
	}
}

// runWithRetry is workload.run, which tries again what found no space, and checks that any other error
// is final.
func runWithRetry(t *testing.T, w *workload, d *nvm.Strict) error {
	l, err := Open(Config{Dir: d, SegmentSize: testSize})
	if err != nil {
		return err
	}
	for w.appended < workloadRecords {
		var batch []record.Record
		for i := w.appended + 1; i <= workloadRecords && len(batch) < 4; i++ {
			batch = append(batch, rec(i, w.sizes[i]))
		}
		w.attempted = w.appended + len(batch)
		end := l.End()
		_, err := l.Append(batch)
		if errors.Is(err, errs.NoSpace) {
			if l.End() != end {
				t.Fatalf("an append without space moved the end from %d to %d", end, l.End())
			}
			// A smaller one, which must not reveal what the larger one left behind (L3).
			w.attempted = w.appended + 1
			_, err = l.Append([]record.Record{rec(w.attempted, w.sizes[w.attempted])})
		}
		if err == nil {
			w.appended = w.attempted
			if w.appended%3 == 0 {
				if _, err = l.Sync(); err == nil {
					w.synced = w.appended
				}
			}
		}
		if err != nil {
			if _, again := l.Append([]record.Record{rec(1, 1)}); !errors.Is(again, errs.KindOf(err)) {
				t.Fatalf("L6: append after %v: %v", err, again)
			}
			if _, again := l.Sync(); !errors.Is(again, errs.KindOf(err)) {
				t.Fatalf("L6: sync after %v: %v", err, again)
			}
			return err
		}
	}
	if err = l.Close(); err == nil {
		w.synced = w.appended
	}
	return err
}
