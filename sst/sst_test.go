package sst

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"dfs/errs"
	"dfs/ids"
)

// allColumns returns every column of a row with its name, groups first.
func allColumns(l Layout) (names map[Column]string) {
	names = map[Column]string{}
	add := func(c Column, format string, args ...any) {
		name := fmt.Sprintf(format, args...)
		if old, ok := names[c]; ok {
			panic(name + " lies on " + old)
		}
		names[c] = name
	}
	for g := range l.Groups {
		g := ids.Group(g)
		add(l.Tail(g), "tail %d", g)
		add(l.Sent(g), "sent %d", g)
		for m := range l.Members {
			add(l.Received(g, ids.Rank(m)), "received %d %d", g, m)
		}
		add(l.Delivered(g), "delivered %d", g)
		add(l.Persisted(g), "persisted %d", g)
		add(l.Frontier(g), "frontier %d", g)
		add(l.WantPersisted(g), "wantPersisted %d", g)
		add(l.WantFrontier(g), "wantFrontier %d", g)
	}
	for m := range l.Members {
		add(l.Echo(ids.Rank(m)), "echo %d", m)
	}
	add(l.Low(), "low")
	add(l.Whole(), "whole")
	add(l.Wedged(), "wedged")
	add(l.Heartbeat(), "heartbeat")
	return names
}

// Each column has a word of its own, rows are whole cache lines, and what is guarded stands below its
// guard (S3).
func TestLayout(t *testing.T) {
	for _, l := range []Layout{{1, 1}, {3, 1}, {3, 2}, {7, 5}, {64, 1}, {65, 3}, {200, 0}} {
		names := allColumns(l)
		if l.RowWords()%8 != 0 || l.RowWords() < len(names) || l.RowWords() >= len(names)+8 {
			t.Errorf("%+v: rows of %d words for %d columns", l, l.RowWords(), len(names))
		}
		last := l.Heartbeat()
		for c, name := range names {
			if c > last {
				t.Errorf("%+v: S3: %s stands above heartbeat", l, name)
			}
		}
		for g := range ids.Group(l.Groups) {
			guards := []struct {
				guarded, guard Column
				what           string
			}{
				{l.Tail(g), l.Sent(g), "tail, sent"},
				{l.Sent(g), l.Received(g, 0), "sent, received"},
				{l.Sent(g), l.Frontier(g), "sent, frontier"},
				{l.Delivered(g), l.Persisted(g), "delivered, persisted"},
				{l.Received(g, ids.Rank(l.Members-1)), l.Wedged(), "received, wedged"},
				{l.Frontier(g), l.Wedged(), "frontier, wedged"},
				{l.Echo(ids.Rank(l.Members - 1)), l.Wedged(), "echo, wedged"},
			}
			for _, x := range guards {
				if x.guarded >= x.guard {
					t.Errorf("%+v: S3: %s in the wrong order", l, x.what)
				}
			}
		}
	}
}

// S3 with real threads: a pusher stores rows upwards while snapshots are taken; in each snapshot the
// lower of two words is at least as fresh as the higher.
func TestSnapshotDuringPush(t *testing.T) {
	l := Layout{Members: 2, Groups: 1}
	mem := make([]uint64, l.Words())
	table, s := New(l, 0, mem), NewSnapshot(l)
	row := mem[l.RowWords():]
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for v := uint64(1); !stop.Load(); v++ {
			for i := range row {
				if c := Column(i); c != l.Wedged() && c != l.Echo(0) && c != l.Received(0, 0) {
					atomic.StoreUint64(&row[i], v)
				}
			}
		}
	})
	torn := 0
	for range 200_000 {
		if err := table.Snapshot(s); err != nil {
			t.Fatal(err)
		}
		prev := uint64(1<<63 - 1)
		for i := range row {
			c := Column(i)
			if c == l.Wedged() || c == l.Echo(0) || c == l.Received(0, 0) {
				continue
			}
			if v := s.Get(1, c); v > prev {
				t.Fatalf("S3: word %d is %d, a lower one is %d", i, v, prev)
			} else if v < prev && i > 0 {
				torn++
				prev = v
			} else {
				prev = v
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d steps between fresher and older words seen", torn)
}

// S1, S2: the own row only grows, and only what grew makes it dirty.
func TestSetters(t *testing.T) {
	l := Layout{Members: 70, Groups: 2}
	table := New(l, 66, make([]uint64, l.Words()))
	if table.Dirty() || table.RowOffset() != 66*l.RowWords()*8 || table.Self() != 66 || table.Layout() != l {
		t.Fatal("new table")
	}
	table.Set(l.Sent(1), 0)
	if table.Dirty() {
		t.Error("dirty without news")
	}
	if !table.SetQuiet(l.Sent(1), 5) || table.SetQuiet(l.Sent(1), 5) || table.Dirty() {
		t.Error("quiet word")
	}
	table.Touch()
	if !table.Dirty() || table.Row()[l.Sent(1)] != 5 || table.Get(l.Sent(1)) != 5 {
		t.Error("touched")
	}
	table.Pushed()
	s := NewSnapshot(l)
	if err := table.Snapshot(s); err != nil || s.Changed() {
		t.Errorf("%v, changed %v", err, s.Changed())
	}
	mustPanic(t, "S2", func() { table.Set(l.Sent(1), 4) })
	mustPanic(t, "S1", func() { l.Tail(2) })
	mustPanic(t, "S1", func() { l.Received(0, 70) })
	mustPanic(t, "S1", func() { l.Echo(-1) })
	mustPanic(t, "S5", func() { New(l, 66, table.mem) })
	mustPanic(t, "S5", func() { New(l, 0, make([]uint64, 8)) })
}

func mustPanic(t *testing.T, number string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if p := fmt.Sprint(recover()); len(p) < 7 || p[5:7] != number {
			t.Errorf("panic %q, want %s", p, number)
		}
	}()
	fn()
}

// S4, S6: a row that makes no sense is refused as a whole and for good, others are taken.
func TestRefusedRow(t *testing.T) {
	l := Layout{Members: 3, Groups: 1}
	cases := []struct {
		name string
		bad  func(row []uint64)
	}{
		{"decrease", func(row []uint64) { row[l.Sent(0)] = 4 }},
		{"huge", func(row []uint64) { row[l.Frontier(0)] = 1 << 63 }},
		{"heard what was not said", func(row []uint64) { row[l.Echo(0)] = 1 }},
		{"wedged", func(row []uint64) { row[l.Wedged()] = 2 }},
		{"slots", func(row []uint64) { row[l.Sent(0)] = MaxSlots + 1 }},
		{"slots of a third", func(row []uint64) { row[l.Received(0, 2)] = MaxSlots + 1 }},
		{"received what was not sent", func(row []uint64) { row[l.Received(0, 0)] = 8 }},
		{"received its own unsent", func(row []uint64) { row[l.Received(0, 1)] = 7 }},
		{"persisted", func(row []uint64) { row[l.Persisted(0)] = 10 }},
		{"wants", func(row []uint64) { row[l.WantPersisted(0)] = ids.MaxSeq + 1 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			mem := make([]uint64, l.Words())
			table, s := New(l, 0, mem), NewSnapshot(l)
			table.Set(l.Sent(0), 7)
			row := mem[l.RowWords() : 2*l.RowWords()]
			row[l.Sent(0)], row[l.Delivered(0)] = 6, 9
			if err := table.Snapshot(s); err != nil || !s.Changed() {
				t.Fatalf("good row: %v", err)
			}
			good := append([]uint64(nil), row...)
			c.bad(row)
			mem[2*l.RowWords()] = 64
			var bad *RowError
			if err := table.Snapshot(s); !errors.As(err, &bad) || bad.Rank != 1 || !errors.Is(err, errs.Corrupt) {
				t.Fatalf("S6: got %v", err)
			}
			copy(row, good)
			row[l.Heartbeat()] = 1
			if err := table.Snapshot(s); err != nil {
				t.Fatalf("S6: reported twice: %v", err)
			}
			for i := range good {
				if s.Get(1, Column(i)) != good[i] {
					t.Errorf("S6: word %d is %d", i, s.Get(1, Column(i)))
				}
			}
			if s.Get(2, 0) != 64 {
				t.Error("the next row was left out")
			}
		})
	}
}

// A member that says it is wedged has said its last word about sending and receiving (S3), while it may
// still log and persist. Two bad rows are reported one after the other (S6). A frozen row stays.
func TestWedgedAndFrozen(t *testing.T) {
	l := Layout{Members: 3, Groups: 2}
	for _, c := range []Column{l.Tail(1), l.Sent(1), l.Received(1, 2), l.Frontier(1)} {
		mem := make([]uint64, l.Words())
		table, s := New(l, 2, mem), NewSnapshot(l)
		table.Set(l.Sent(1), 5)
		row0, row1 := mem[:l.RowWords()], mem[l.RowWords():2*l.RowWords()]
		for _, row := range [][]uint64{row0, row1} {
			row[l.Wedged()], row[l.Delivered(1)] = 1, 5
		}
		if err := table.Snapshot(s); err != nil {
			t.Fatal(err)
		}
		row1[l.Delivered(1)], row1[l.Persisted(1)] = 7, 6
		if err := table.Snapshot(s); err != nil || s.Get(1, l.Persisted(1)) != 6 {
			t.Fatalf("persisting in a wedged view: %v", err)
		}
		row0[c], row1[c] = 1, 2
		for _, want := range []ids.Rank{0, 1} {
			var bad *RowError
			if err := table.Snapshot(s); !errors.As(err, &bad) || bad.Rank != want {
				t.Errorf("word %d: got %v, want an error of member %d", c, err, want)
			}
		}
	}
	mem := make([]uint64, l.Words())
	table, s := New(l, 2, mem), NewSnapshot(l)
	table.Freeze(0)
	mem[0], mem[l.RowWords()] = 64, 128
	if err := table.Snapshot(s); err != nil || s.Get(0, 0) != 0 || s.Get(1, 0) != 128 {
		t.Errorf("frozen: %v, %d, %d", err, s.Get(0, 0), s.Get(1, 0))
	}
}

// S6: whatever is in a row, validation answers with an error of kind Corrupt or nil, and what it accepts
// has not decreased.
func FuzzValidate(f *testing.F) {
	l := Layout{Members: 3, Groups: 2}
	f.Add(uint64(1), uint64(2), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, seed, seed2 uint64, b []byte) {
		rng := rand.New(rand.NewPCG(seed, seed2))
		prev, cur, own := make([]uint64, l.RowWords()), make([]uint64, l.RowWords()), make([]uint64, l.RowWords())
		for i := range prev {
			own[i] = rng.Uint64() >> (1 + rng.IntN(63))
			prev[i] = rng.Uint64() >> rng.IntN(64)
			if cur[i] = prev[i]; i < len(b) {
				cur[i] += uint64(b[i])
			}
		}
		switch err := l.Validate(0, 1, prev, cur, own); {
		case err != nil && !errors.Is(err, errs.Corrupt):
			t.Fatalf("kind of %v", err)
		case err == nil:
			for i := range cur {
				if cur[i] < prev[i] || cur[i] > MaxWord {
					t.Fatalf("S6: word %d from %d to %d accepted", i, prev[i], cur[i])
				}
			}
		}
	})
}

func TestSnapshotAllocatesNothing(t *testing.T) {
	l := Layout{Members: 5, Groups: 1}
	mem := make([]uint64, l.Words())
	table, s := New(l, 0, mem), NewSnapshot(l)
	if n := testing.AllocsPerRun(100, func() {
		mem[l.RowWords()+int(l.Heartbeat())]++
		table.Set(l.Heartbeat(), table.Get(l.Heartbeat())+1)
		if err := table.Snapshot(s); err != nil {
			t.Fatal(err)
		}
		table.Pushed()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{3, 5, 16} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			l := Layout{Members: n, Groups: 1}
			mem := make([]uint64, l.Words())
			table, s := New(l, 0, mem), NewSnapshot(l)
			for b.Loop() {
				mem[l.RowWords()+int(l.Heartbeat())]++
				if err := table.Snapshot(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
