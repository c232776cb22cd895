package multicast

import (
	"fmt"
	"testing"

	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
)

// fleet runs the groups of one view in one goroutine on shared memory: what a step writes is in the memory
// of the others at once. It is the least that any fabric costs.
type fleet struct {
	tb    testing.TB
	nodes []*actor
	now   hlc.Timestamp
	op    []byte
	data  []byte
	per   int // messages that a sender adds in a round
}

func newFleet(tb testing.TB, n, ring, opLen, dataLen int) *fleet {
	f := &fleet{
		tb: tb, now: 1, op: make([]byte, opLen), data: make([]byte, dataLen),
		per: max(1, min(256, ring/8/record.Size(opLen, dataLen))),
	}
	layout := sst.Layout{Members: n, Groups: 1}
	for i := range n {
		a := &actor{id: i, place: i, rank: ids.Rank(i), clock: &hlc.Clock{}, mem: make([]uint64, layout.Words()), snap: sst.NewSnapshot(layout)}
		a.table = sst.New(layout, a.rank, a.mem)
		for range n {
			a.rings = append(a.rings, make([]byte, ring))
		}
		g, err := New(Config{Table: a.table, View: 1, Rings: a.rings, Clock: a.clock})
		if err != nil {
			tb.Fatal(err)
		}
		a.g = g
		f.nodes = append(f.nodes, a)
	}
	return f
}

// send puts up to count messages into a's outbox, as far as there is room.
func (f *fleet) send(a *actor, count int) (sent int) {
	for sent < count {
		r, ok := a.g.Outbox().Reserve(len(f.op), len(f.data))
		if !ok {
			break
		}
		a.sent++
		record.Build(r.Buf, record.Header{Kind: record.Op, Origin: 1, Counter: a.sent}, f.op, f.data)
		a.g.Outbox().Commit(r)
		sent++
	}
	return sent
}

// round is one turn of every member.
func (f *fleet) round() {
	f.now += 1000
	for _, a := range f.nodes {
		a.g.Collect()
		if err := a.table.Snapshot(a.snap); err != nil {
			f.tb.Fatal(err)
		}
		e, err := a.g.Step(a.snap, f.now)
		if err != nil {
			f.tb.Fatal(err)
		}
		for _, b := range f.nodes {
			if a == b {
				continue
			}
			for _, w := range e.Writes {
				copy(b.rings[a.place][w.Off:], a.rings[a.place][w.Off:w.Off+w.Len])
			}
			if a.table.DirtyFor(b.table.Self()) {
				copy(b.mem[a.table.RowOffset()/8:], a.table.Row())
			}
		}
		a.table.Pushed()
		if n := len(e.Deliveries); n > 0 {
			a.seen += n
			a.g.Logged(e.Deliveries[n-1].Seq)
		}
	}
}

// run sends total messages from the first senders of the members and waits until all have delivered all.
func (f *fleet) run(senders, total int) {
	want := f.nodes[0].seen + total
	for sent, rounds := 0, 0; ; rounds++ {
		done := true
		for i, a := range f.nodes {
			if i < senders && sent < total {
				sent += f.send(a, min(f.per, total-sent))
			}
			done = done && a.seen == want
		}
		if done {
			return
		}
		if rounds > 1000+10*total {
			f.tb.Fatalf("stuck: %d of %d", f.nodes[0].seen, want)
		}
		f.round()
	}
}

// The steady path allocates nothing.
func TestSteadyPathAllocatesNothing(t *testing.T) {
	for _, senders := range []int{1, 3} {
		f := newFleet(t, 3, 1<<16, 32, 600)
		f.run(senders, 2000) // everything has its size, and the rings have wrapped
		if n := testing.AllocsPerRun(100, func() { f.run(senders, 50) }); n != 0 {
			t.Errorf("%d senders: %v allocations", senders, n)
		}
	}
}

// The whole way of a message, in a group of which all members are in one goroutine: build, publish, copy to the
// others, receive, acknowledge, deliver everywhere, give back. Time is per message delivered by all.
func BenchmarkGroup(b *testing.B) {
	for _, c := range []struct {
		n, senders, op, data int
	}{
		{3, 1, 64, 0}, {3, 3, 64, 0}, {3, 1, 256, 0}, {3, 3, 256, 0}, {3, 3, 64, 4 << 10}, {3, 3, 64, 64 << 10}, {3, 3, 64, 1 << 20},
		{1, 1, 64, 0}, {5, 5, 64, 0}, {8, 8, 64, 0}, {16, 16, 64, 0}, {16, 1, 64, 0},
	} {
		b.Run(fmt.Sprintf("n=%d/senders=%d/size=%d", c.n, c.senders, c.op+c.data), func(b *testing.B) {
			ring := 16 << 20
			if c.n > 3 {
				ring = 1 << 20 // n*n of them
			}
			f := newFleet(b, c.n, ring, c.op, c.data)
			f.run(c.senders, 1000)
			b.ReportAllocs()
			b.SetBytes(int64(c.op + c.data))
			b.ResetTimer()
			f.run(c.senders, b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// One message alone: the turns of three members until all have delivered it.
func BenchmarkOneMessage(b *testing.B) {
	f := newFleet(b, 3, 1<<20, 64, 0)
	f.run(1, 1000)
	for b.Loop() {
		f.run(1, 1)
	}
}

// A turn in which nothing happens.
func BenchmarkIdleStep(b *testing.B) {
	for _, n := range []int{3, 16} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			f := newFleet(b, n, 1<<16, 64, 0)
			f.run(1, 10)
			a := f.nodes[0]
			for b.Loop() {
				a.g.Collect()
				if err := a.table.Snapshot(a.snap); err != nil {
					b.Fatal(err)
				}
				if _, err := a.g.Step(a.snap, f.now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
