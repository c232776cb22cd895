package multicast

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
)

// pair is a member at place 0 of two whose peer is played by the test, which writes its ring and row.
type pair struct {
	t     testing.TB
	table *sst.Table
	snap  *sst.Snapshot
	rings [][]byte
	row   []uint64 // the peer's
	g     *Group
	l     sst.Layout
	now   hlc.Timestamp
	tail  uint64 // of the peer's ring
}

func newPair(t testing.TB) *pair {
	l := sst.Layout{Members: 2, Groups: 1}
	mem := make([]uint64, l.Words())
	p := &pair{t: t, table: sst.New(l, 0, mem), snap: sst.NewSnapshot(l), row: mem[l.RowWords():], l: l, now: 1000}
	p.rings = [][]byte{make([]byte, 4096), make([]byte, 4096)}
	g, err := New(Config{Table: p.table, View: 1, Rings: p.rings, Clock: &hlc.Clock{}, After: 100, MaxAhead: 500})
	if err != nil {
		t.Fatal(err)
	}
	p.g = g
	return p
}

// put lays a record into the peer's ring and returns its bytes.
func (p *pair) put(kind record.Kind, stamp hlc.Timestamp, position uint64, dataLen int) []byte {
	off := p.tail & 4095
	n := record.Size(0, dataLen)
	if kind == record.Pad {
		n = dataLen
	}
	b := p.rings[1][off : off+uint64(n)]
	h := record.Header{Kind: kind, Timestamp: stamp, Position: position}
	if kind == record.Pad {
		record.BuildPad(b, h)
	} else {
		record.Build(b, h, nil, make([]byte, dataLen))
	}
	p.tail += uint64(n)
	p.row[p.l.Tail(0)] = p.tail
	return b
}

func (p *pair) sent(slots uint64) { p.row[p.l.Sent(0)] = slots }

func (p *pair) step() (*Effects, error) {
	if err := p.table.Snapshot(p.snap); err != nil {
		return nil, err
	}
	return p.g.Step(p.snap, p.now)
}

// M11: whatever makes no sense in what a peer wrote is an error that names it, stays one, and stops the group; nothing
// of it is acknowledged or delivered.
func TestBrokenPeer(t *testing.T) {
	cases := []struct {
		name string
		do   func(p *pair)
		want string
	}{
		{"no record", func(p *pair) { p.row[p.l.Tail(0)] = 64; p.sent(2) }, "magic"},
		{"damaged record", func(p *pair) { p.put(record.Op, 900, 3, 0)[20] ^= 1; p.sent(2) }, "checksum"},
		{"position of another", func(p *pair) { p.put(record.Op, 900, 2, 0); p.sent(2) }, "position 2"},
		{"slot that was counted", func(p *pair) { p.put(record.Op, 900, 1, 0); p.sent(2) }, "position 1"},
		{"slots in the wrong order", func(p *pair) { p.put(record.Op, 900, 5, 0); p.put(record.Op, 901, 3, 0); p.sent(3) }, "position 3"},
		{"slot beyond all", func(p *pair) { p.put(record.Op, 900, 1<<50+1, 0); p.sent(3) }, "position"},
		{"same stamp", func(p *pair) { p.put(record.Op, 900, 3, 0); p.put(record.Op, 900, 5, 0); p.sent(3) }, "M8"},
		{"stamp before the view", func(p *pair) { p.put(record.Op, 100, 3, 0); p.sent(2) }, "M8"},
		{"stamp ahead", func(p *pair) { p.put(record.Op, 1502, 3, 0); p.sent(2) }, "too far ahead"},
		{"broken promise", func(p *pair) {
			p.row[p.l.Frontier(0)] = 950
			if _, err := p.step(); err != nil {
				p.t.Fatal(err)
			}
			p.put(record.Op, 950, 3, 0)
			p.sent(2)
		}, "M8"},
		{"promise ahead", func(p *pair) { p.row[p.l.Frontier(0)] = 1502 }, "too far ahead"},
		{"wish ahead", func(p *pair) { p.row[p.l.WantFrontier(0)] = 1502 }, "too far ahead"},
		{"record of the log", func(p *pair) { p.put(record.Mark, 900, 3, 0); p.sent(2) }, "kind 4"},
		{"large record", func(p *pair) { p.put(record.Op, 900, 3, 1024); p.sent(2) }, "message of"},
		{"pad in the middle", func(p *pair) { p.put(record.Pad, 0, 0, 128); p.sent(2) }, "pad"},
		{"pad beyond tail", func(p *pair) {
			p.put(record.Pad, 0, 0, 4096)
			p.row[p.l.Tail(0)] = 64
			p.sent(2)
		}, "pad"},
		{"odd tail", func(p *pair) { p.row[p.l.Tail(0)] = 63; p.sent(2) }, "M1"},
		{"overrun", func(p *pair) {
			for i := range uint64(8) {
				p.put(record.Op, hlc.Timestamp(900+i), 3+2*i, 64*6)
			}
			p.row[p.l.Tail(0)] += 64
			p.sent(12)
		}, "M1"},
		{"delivered what this member did not send", func(p *pair) { p.row[p.l.Delivered(0)] = 5 }, "this member"},
		{"delivered what it did not send", func(p *pair) { p.mySlots(9); p.row[p.l.Delivered(0)] = 5 }, "used its own"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t)
			p.sent(1)
			if _, err := p.step(); err != nil {
				t.Fatal(err)
			}
			c.do(p)
			var bad *MemberError
			e, err := p.step()
			if !errors.As(err, &bad) || bad.Rank != 1 || !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("M11: got %v, want an error with %q", err, c.want)
			}
			if got := p.table.Get(p.l.Received(0, 1)); got != 1 || len(e.Deliveries) != 0 {
				t.Errorf("M11: received %d slots, %d deliveries", got, len(e.Deliveries))
			}
			if _, again := p.step(); again != err {
				t.Errorf("M11: then got %v", again)
			}
			// The end of the view goes on as usual.
			p.g.Wedge()
			if _, err := p.g.Trim(p.g.ReceivedVector(nil)); err != nil {
				t.Errorf("trim: %v", err)
			}
		})
	}
}

// mySlots makes the group publish n messages.
func (p *pair) mySlots(n int) {
	p.mySlotsQueued(n)
	p.g.Collect()
	if _, err := p.step(); err != nil {
		p.t.Fatal(err)
	}
}

// M4, M8: a wedged group does nothing but persist.
func TestWedgedGroupIsStill(t *testing.T) {
	p := newPair(t)
	p.mySlots(1)
	p.row[p.l.Received(0, 0)] = 1
	p.sent(1)
	e, err := p.step()
	if err != nil || len(e.Deliveries) != 1 {
		t.Fatalf("%v, %d deliveries", err, len(e.Deliveries))
	}
	before := append([]uint64(nil), p.table.Row()...)
	p.mySlotsQueued(1)
	p.g.Collect()
	p.mySlotsQueued(1)
	p.g.Wedge()
	if got := len(p.g.Unsent()); got != 2 {
		t.Errorf("M9: %d messages to send again", got)
	}
	p.put(record.Op, 900, 3, 0)
	p.sent(2)
	p.row[p.l.WantFrontier(0)] = 1400
	p.row[p.l.WantPersisted(0)] = 1
	e, err = p.step()
	p.g.PromiseFrontier(1200)
	p.g.WantFrontier(1200)
	if err != nil || len(e.Writes)+len(e.Deliveries) != 0 || !p.g.Wedged() {
		t.Fatalf("M4: %v, %+v", err, e)
	}
	for c, v := range p.table.Row() {
		if v != before[c] {
			t.Errorf("M4: word %d went from %d to %d", c, before[c], v)
		}
	}
	if _, ok := p.g.Outbox().Reserve(0, 0); ok {
		t.Error("M4: a reservation in a wedged group")
	}
	p.g.Logged(1)
	if !p.g.SyncNow() {
		t.Error("nobody asks to persist")
	}
	p.g.SetPersisted(1)
	if p.table.Get(p.l.Persisted(0)) != 1 || !p.table.Dirty() {
		t.Error("not persisted")
	}
}

// mySlotsQueued commits n messages.
func (p *pair) mySlotsQueued(n int) {
	for range n {
		r, _ := p.g.Outbox().Reserve(0, 0)
		record.Build(r.Buf, record.Header{Kind: record.Op}, nil)
		p.g.Outbox().Commit(r)
	}
}

// S3: Tail may be fresher than Sent. A message whose slot is not counted yet is not received yet either, so that
// it arrives in the step that acknowledges it.
func TestTailAheadOfSent(t *testing.T) {
	p := newPair(t)
	p.put(record.Op, 900, 1, 0)
	p.put(record.Op, 901, 3, 0)
	for slots := uint64(1); slots <= 2; slots++ {
		p.sent(slots)
		if _, err := p.step(); err != nil {
			t.Fatal(err)
		}
		var arrived []uint64
		p.g.Arrived(func(_ ids.Rank, r record.Record) { arrived = append(arrived, r.Position()) })
		if len(arrived) != 1 || arrived[0] != 2*slots-1 || p.g.Acknowledged() != Slot(2*slots) {
			t.Errorf("%d slots sent: arrived %v, acknowledged up to %d", slots, arrived, p.g.Acknowledged())
		}
	}
}

// M3: a sound member acknowledges a message together with the slots that it gives up for it, so what is
// stable is known. That is not left to the peers: here one has received slot 1 and not given up its slot 0.
func TestStableIsNotEnough(t *testing.T) {
	p := newPair(t)
	p.mySlots(2)
	p.row[p.l.Received(0, 0)] = 2
	if e, err := p.step(); err != nil || len(e.Deliveries) != 1 || e.Deliveries[0].Record.Position() != 0 {
		t.Fatalf("M3: %v, %+v", err, e)
	}
	p.put(record.Op, 900, 1, 0)
	p.sent(1)
	p.row[p.l.Received(0, 1)] = 1
	e, err := p.step()
	if err != nil || len(e.Deliveries) != 2 || e.Deliveries[0].Sender != 1 || e.Deliveries[1].Sender != 0 {
		t.Fatalf("M2: %v, %+v", err, e)
	}
}

// M1: what this member has delivered and not logged is not written again, though all others have done with it.
func TestOwnUnloggedBytesStay(t *testing.T) {
	p := newPair(t)
	p.mySlots(1)
	p.row[p.l.Received(0, 0)] = 1
	p.sent(1)
	e, err := p.step()
	if err != nil || len(e.Deliveries) != 1 {
		t.Fatalf("%v, %+v", err, e)
	}
	p.row[p.l.Delivered(0)] = 1
	if e, err = p.step(); err != nil || !e.More || p.g.Collect() {
		t.Fatalf("M1: %v, more %v, or room for what is not logged", err, e.More)
	}
	p.g.Logged(1)
	if !p.g.Collect() {
		t.Error("M1: no room though all is logged")
	}
}

// Callers' mistakes panic with the number of what they break.
func TestMisuse(t *testing.T) {
	p := newPair(t)
	mustPanic(t, "M9", func() { p.g.Outbox().Reserve(0, 1025) })
	r, _ := p.g.Outbox().Reserve(0, 0)
	if p.g.Outbox().Open() != 1 {
		t.Error("open reservations")
	}
	mustPanic(t, "M9", func() { p.g.Outbox().Commit(r) }) // nothing was built
	p.g.Wedge()
	mustPanic(t, "M9", func() { p.g.Unsent() })
	record.Build(r.Buf, record.Header{Kind: record.Op}, nil)
	p.g.Outbox().Commit(r)
	mustPanic(t, "M9", func() { p.g.Outbox().Commit(r) })
	mustPanic(t, "M10", func() { p.g.Logged(1) })
	mustPanic(t, "M10", func() { p.g.SetPersisted(1) })
	p = newPair(t)
	mustPanic(t, "M4", func() { _, _ = p.g.Trim([]uint64{0, 0}) })
	mustPanic(t, "M9", func() { p.g.Unsent() })
}

func mustPanic(t *testing.T, number string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "multicast: "+number+":") {
			t.Errorf("panic %q, want %s", p, number)
		}
	}()
	fn()
}

func TestConfig(t *testing.T) {
	l := sst.Layout{Members: 3, Groups: 1}
	table := sst.New(l, 1, make([]uint64, l.Words()))
	ring := func(n int) []byte { return make([]byte, n) }
	cases := []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"Table and Clock"}},
		{Config{Table: table, Clock: &hlc.Clock{}, Group: 1, Rings: [][]byte{ring(4096), ring(2048), ring(5000)}, MaxInFlight: -1}, []string{
			"Group is 1", "Rings[1] has 2048", "Rings[2] has 5000", "MaxInFlight -1",
		}},
		{Config{Table: table, Clock: &hlc.Clock{}, Members: []ids.Rank{2, 0, 3}, Rings: [][]byte{ring(4096)}}, []string{
			"Members[1] is 0", "Members[2] is 3", "lacks this node, 1", "1 Rings for 3",
		}},
	}
	for i, c := range cases {
		_, err := New(c.cfg)
		if !errors.Is(err, errs.Invalid) {
			t.Fatalf("%d: %v", i, err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%d: %v lacks %q", i, err, want)
			}
		}
	}
	g, err := New(Config{Table: table, Clock: &hlc.Clock{}, Members: []ids.Rank{1, 2}, Rings: [][]byte{ring(4096), ring(4096)}, After: 7})
	if err != nil {
		t.Fatal(err)
	}
	if seq, at := g.LastLogged(); seq != 0 || at != 7 || g.TimeFrontier() != 7 || g.WornOut() {
		t.Errorf("new group: %d, %d, %d", seq, at, g.TimeFrontier())
	}
	if seq, at := g.LastDelivered(); seq != 0 || at != 7 {
		t.Errorf("new group: %d, %d", seq, at)
	}
}

// M11: whatever a peer writes into its ring and its row, with right checksums or without, is refused or
// makes sense; nothing panics, and what is delivered is in order.
func FuzzPeer(f *testing.F) {
	f.Add(uint64(1), []byte("\x00\x10\x20\x03\x44\x55\x66"))
	f.Add(uint64(2), []byte{1, 1, 1, 2, 1, 1, 3, 3, 3, 7, 7, 7})
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		p, rng := newPair(t), rand.New(rand.NewPCG(seed, 1))
		last := hlc.Timestamp(0)
		slot := uint64(0)
		for i := 0; i+1 < len(script) && i < 200; i += 2 {
			p.now += 10
			p.peerDoes(script[i], uint64(script[i+1]), &slot, rng)
			if rng.IntN(3) == 0 {
				p.mySlotsSoft()
			}
			p.g.Collect()
			e, err := p.step()
			if err != nil {
				if !errors.Is(err, errs.Corrupt) {
					t.Fatalf("M11: kind of %v", err)
				}
				break
			}
			p.g.Arrived(func(_ ids.Rank, r record.Record) { _ = r.Header() })
			for _, d := range e.Deliveries {
				if d.Timestamp <= last {
					t.Fatalf("M7: %d after %d", d.Timestamp, last)
				}
				last = d.Timestamp
				p.g.Logged(d.Seq)
			}
			_ = p.g.TimeFrontier()
		}
		p.g.Wedge()
		if _, err := p.g.Trim(p.g.ReceivedVector(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

func (p *pair) mySlotsSoft() {
	if r, ok := p.g.Outbox().Reserve(3, 100); ok {
		record.Build(r.Buf, record.Header{Kind: record.Op}, []byte("abc"), make([]byte, 100))
		p.g.Outbox().Commit(r)
	}
}

// peerDoes writes one thing: mostly what a sound peer would, with arguments that may be off.
func (p *pair) peerDoes(what byte, arg uint64, slot *uint64, rng *rand.Rand) {
	l := p.l
	switch what % 10 {
	case 0, 1, 2:
		if size := record.Size(0, int(arg)); p.tail&4095+uint64(size) <= 4096 {
			p.put(record.Op, p.now+hlc.Timestamp(arg%3)-1, 2*(*slot)+1, int(arg))
			*slot++
		} else {
			p.put(record.Pad, 0, 0, int(4096-p.tail&4095))
		}
		p.sent(*slot)
	case 3:
		*slot += arg % 4
		p.sent(*slot)
	case 4:
		p.row[l.Received(0, 0)] = p.table.Get(l.Sent(0))
	case 5:
		p.row[l.Delivered(0)] = min(p.row[l.Delivered(0)]+arg%5, 2*p.table.Get(l.Sent(0)), 2**slot+1)
	case 6:
		p.row[l.Frontier(0)] = uint64(p.now) - 5 + arg%8
	case 7:
		p.row[rng.IntN(len(p.row))] += arg
	case 8:
		p.rings[1][rng.IntN(4096)] ^= byte(arg)
	case 9:
		p.row[l.WantFrontier(0)] = uint64(p.now) + arg
		p.row[l.WantPersisted(0)] += arg
	}
}
