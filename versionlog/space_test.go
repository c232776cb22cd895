package versionlog

import (
	"errors"
	"math/rand/v2"
	"testing"

	"dfs/errs"
	"dfs/nvm"
	"dfs/record"
)

// A full disk: data is refused first, small records as long as there is any room, nothing is half
// applied, and all goes on when there is room again.
func TestFullDisk(t *testing.T) {
	const room = markSize + 2*testSize
	d := nvm.NewStrict()
	d.SetCapacity(room)
	sizes := make([]int, 1000)
	l := open(t, d)
	i, low := 1, 0
	for ; ; i++ {
		sizes[i] = 3000
		if _, err := l.Append([]record.Record{rec(i, sizes[i])}); errors.Is(err, errs.NoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		l.mustSync(t)
		if l.Low() {
			low++
		}
	}
	if left := 2*testSize - int64(l.End()); left < l.cfg.ReserveBytes || left > l.cfg.ReserveBytes+3500 {
		t.Fatalf("data was refused with %d bytes left, the reserve is %d", left, l.cfg.ReserveBytes)
	}
	if low < 10 {
		t.Fatalf("Low said so only %d records ahead", low)
	}
	small := 0
	for ; ; i, small = i+1, small+1 {
		sizes[i] = 0
		if _, err := l.Append([]record.Record{rec(i, 0)}); errors.Is(err, errs.NoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if left := 2*testSize - int64(l.End()); left >= int64(len(rec(i, 0))) || small < 100 {
		t.Fatalf("%d small records fit, %d bytes left", small, left)
	}
	// A batch is taken as a whole or not at all, also after opening again.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, d)
	if n := checkPrefix(t, l, sizes); n != i-1 || !l.Low() {
		t.Fatalf("%d records of %d, low %v", n, i-1, l.Low())
	}
	end := l.End()
	if _, err := l.Append([]record.Record{rec(i, 0), rec(i+1, 3000)}); !errors.Is(err, errs.NoSpace) || l.End() != end {
		t.Fatalf("%v, end %d, was %d", err, l.End(), end)
	}
	d.SetCapacity(room + testSize)
	sizes[i], sizes[i+1] = 0, 3000
	l.mustAppend(t, rec(i, 0), rec(i+1, 3000))
	l.mustSync(t)
	if n := checkPrefix(t, l, sizes); n != i+1 {
		t.Fatalf("%d records", n)
	}
}

// Where space cannot be reserved, a write may find the disk full. What it left behind does not come
// back as a record (L3).
func TestWriteFindsNoSpace(t *testing.T) {
	for _, first := range []int{100, testSize - 1500} { // within a segment, and into the next
		d := nvm.NewStrict()
		l := open(t, d)
		sizes := []int{0, first, 100, 100, 100}
		l.mustAppend(t, rec(1, first))
		l.mustSync(t)
		writes := 0
		d.SetHook(func(op nvm.Op) (int, error) {
			if op.Verb != nvm.Write {
				return 0, nil
			}
			// The last write of the batch happens wholly, and fails all the same.
			if writes++; writes == 1 && first > 100 {
				return 0, nil
			}
			return op.Len, errs.New(errs.NoSpace, "disk full")
		})
		if _, err := l.Append([]record.Record{rec(2, 100), rec(3, 100), rec(4, 1000), rec(5, 100)}); !errors.Is(err, errs.NoSpace) {
			t.Fatal(err)
		}
		d.SetHook(nil)
		l.mustAppend(t, rec(2, 100))
		for _, crashed := range []*nvm.Strict{d.Crash(nil), d} {
			if n := checkPrefix(t, open(t, crashed), sizes); n != 2 {
				t.Fatalf("L3: %d records", n)
			}
		}
	}
}

// L3: what a failed append wrote into the next segment does not come back when another one has taken its place.
func TestNextSegmentFindsNoSpace(t *testing.T) {
	d := nvm.NewStrict()
	l := open(t, d)
	sizes := []int{0, testSize - 2000, 100, 100, 1600}
	for i := 1; i <= 2; i++ { // the second sync makes the name of the spare durable
		l.mustAppend(t, rec(i, sizes[i]))
		l.mustSync(t)
	}
	writes := 0
	d.SetHook(func(op nvm.Op) (int, error) {
		if op.Verb != nvm.Write {
			return 0, nil
		}
		if writes++; writes == 1 {
			return 0, nil
		}
		return op.Len, errs.New(errs.NoSpace, "disk full")
	})
	if _, err := l.Append([]record.Record{rec(3, 100), rec(4, 1900)}); !errors.Is(err, errs.NoSpace) || writes != 2 {
		t.Fatalf("%d writes, %v", writes, err)
	}
	d.SetHook(nil)
	l.mustAppend(t, rec(3, sizes[3]), rec(4, sizes[4]))
	for seed := range uint64(200) {
		if n := checkPrefix(t, open(t, d.Crash(rand.New(rand.NewPCG(seed, 3)))), sizes); n < 2 {
			t.Fatalf("L1: %d records", n)
		}
	}
}

// L3, L6: there may be no space even to wipe out what a failed append left. That is tried again too, and
// nothing is appended before it is done.
func TestNoSpaceToScrub(t *testing.T) {
	for failing := range 4 {
		d := nvm.NewStrict()
		l := open(t, d)
		sizes := []int{0, 100, 100, 100}
		l.mustAppend(t, rec(1, 100))
		l.mustSync(t)
		writes := 0
		d.SetHook(func(op nvm.Op) (int, error) {
			if op.Verb == nvm.Write {
				if writes++; writes <= 1+failing {
					return op.Len / 2, errs.New(errs.NoSpace, "disk full")
				}
			}
			return 0, nil
		})
		for range 1 + failing {
			if _, err := l.Append([]record.Record{rec(2, 100), rec(3, 1000)}); !errors.Is(err, errs.NoSpace) {
				t.Fatalf("%v", err)
			}
			if l.Err() != nil {
				t.Fatalf("L6: %v is final", l.Err())
			}
		}
		l.mustAppend(t, rec(2, 100))
		if n := checkPrefix(t, open(t, d.Crash(nil)), sizes); n != 2 {
			t.Fatalf("L3: %d records", n)
		}
	}
}
