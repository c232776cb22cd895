package multicast

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
)

// TestScripts plays the scripts in testdata. Nodes are A, B, C, ... ; the verbs:
//
//	cluster n=3 [ring=4096] [inflight=N] [batch=BYTES]   starts a view
//	send A TEXT... [data=BYTES]    commits messages, as far as there is room
//	reserve A TEXT [op=BYTES] / commit A TEXT
//	turn [A...] [nolog]            one turn of their loops, in the given order
//	log A                          what was delivered is logged and applied
//	carry [A-B...] [words=N]       brings what is under way, or only its next N words or bytes
//	rows                           the table, each row as its owner has it
//	time now=T, promise A, want A t=T, frontier
//	persist A seq=N, wantpersisted A seq=N, persisted
//	wedge A..., trim A 1 1 0, unsent A, received A
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		var p *play
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cluster" {
				p = newPlay(t, d)
				return ""
			}
			p.t, p.out = t, strings.Builder{}
			p.act(d)
			return p.out.String()
		})
	})
}

// play is a world that prints what happens instead of judging it.
type play struct {
	*world
	pushed   map[int][]uint64 // the row that a node pushed last
	out      strings.Builder
	reserved map[string]Reservation
}

func newPlay(t *testing.T, d *datadriven.TestData) *play {
	n, ring := 3, 4096
	d.ScanArgs(t, "n", &n)
	d.MaybeScanArgs(t, "ring", &ring)
	p := &play{world: newWorld(t, rand.New(rand.NewPCG(1, 1)), n, ring), reserved: map[string]Reservation{}, pushed: map[int][]uint64{}}
	d.MaybeScanArgs(t, "inflight", &p.limits.MaxInFlight)
	d.MaybeScanArgs(t, "batch", &p.limits.MaxBatchBytes)
	d.MaybeScanArgs(t, "messages", &p.limits.MaxBatch)
	p.now = 1000
	p.install()
	return p
}

func name(i int) string { return string(rune('A' + i)) }

func (p *play) printf(format string, args ...any) { fmt.Fprintf(&p.out, format+"\n", args...) }

func (p *play) actor(s string) *actor { return p.actors[s[0]-'A'] }

func (p *play) act(d *datadriven.TestData) {
	var words []string // arguments without a value
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			words = append(words, a.Key)
		}
	}
	number := func(key string) int {
		n := 0
		d.MaybeScanArgs(p.t, key, &n)
		return n
	}
	switch d.Cmd {
	case "send":
		p.sendAll(p.actor(words[0]), words[1:], number("data"))
	case "reserve":
		p.reserveOne(p.actor(words[0]), words[1], number("op"))
	case "commit":
		p.actor(words[0]).g.Outbox().Commit(p.reserved[words[1]])
	case "turn":
		p.turns(words)
	case "log":
		p.log(p.actor(words[0]))
	case "carry":
		p.carryScript(words, number("words"))
	case "rows":
		p.rows()
	case "received":
		p.printf("%v", p.actor(words[0]).g.ReceivedVector(nil))
	default:
		p.actMore(d.Cmd, words, number)
	}
}

func (p *play) actMore(cmd string, words []string, number func(string) int) {
	switch cmd {
	case "time":
		p.now = hlc.Timestamp(number("now"))
	case "promise":
		p.actor(words[0]).g.PromiseFrontier(p.now)
	case "want":
		p.actor(words[0]).g.WantFrontier(hlc.Timestamp(number("t")))
	case "frontier":
		for _, a := range p.actors {
			p.printf("%s: everything up to %d is applied", name(a.id), a.g.TimeFrontier())
		}
	case "persist":
		p.actor(words[0]).g.SetPersisted(Seq(number("seq")))
	case "wantpersisted":
		p.actor(words[0]).g.WantPersisted(Seq(number("seq")))
	case "willwantpersisted":
		p.actor(words[0]).g.WillWantPersisted(Seq(number("seq")))
	case "persisted":
		for _, a := range p.actors {
			p.printf("%s: persisted by all up to #%d, sync now: %v", name(a.id), a.g.PersistedByAll(), a.g.SyncNow())
		}
	case "wedge":
		for _, w := range words {
			a := p.actor(w)
			a.g.Wedge()
			a.table.Set(a.table.Layout().Wedged(), 1)
			p.send(a, &Effects{}, true)
		}
	case "trim":
		p.trimOne(p.actor(words[0]), words[1:])
	case "unsent":
		for _, r := range p.actor(words[0]).g.Unsent() {
			p.printf("%s", r.Op())
		}
	default:
		p.t.Fatalf("unknown verb %q", cmd)
	}
}

func (p *play) sendAll(a *actor, texts []string, dataLen int) {
	for _, s := range texts {
		r, ok := a.g.Outbox().Reserve(len(s), dataLen)
		if !ok {
			p.printf("%s: no room for %s", name(a.id), s)
			return
		}
		record.Build(r.Buf, record.Header{Kind: record.Op}, []byte(s), make([]byte, dataLen))
		a.g.Outbox().Commit(r)
	}
}

func (p *play) reserveOne(a *actor, s string, opLen int) {
	op := append([]byte(s), make([]byte, max(0, opLen-len(s)))...)
	r, ok := a.g.Outbox().Reserve(len(op), 0)
	if !ok {
		p.printf("%s: no room for %s", name(a.id), s)
		return
	}
	record.Build(r.Buf, record.Header{Kind: record.Op}, op)
	p.reserved[s] = r
}

func (p *play) turns(words []string) {
	var who []*actor
	nolog := false
	for _, w := range words {
		if w == "nolog" {
			nolog = true
		} else {
			who = append(who, p.actor(w))
		}
	}
	if who == nil {
		who = p.actors
	}
	for _, a := range who {
		p.turn(a, nolog)
	}
}

// turn is one turn of a's loop, told.
func (p *play) turn(a *actor, nolog bool) {
	if a.g.Collect() {
		p.printf("%s: there is room again", name(a.id))
	}
	if err := a.table.Snapshot(a.snap); err != nil {
		p.t.Fatal(err)
	}
	e, err := a.g.Step(a.snap, p.now)
	if err != nil {
		p.printf("%s: %v", name(a.id), err)
	}
	a.g.Arrived(func(sender ids.Rank, r record.Record) {
		p.printf("%s: receives %q from %s", name(a.id), short(r.Op()), name(int(sender)))
	})
	for _, w := range e.Writes {
		p.printf("%s: writes %d bytes of its ring at %d", name(a.id), w.Len, w.Off)
	}
	if a.table.Dirty() {
		p.printf("%s: pushes %s", name(a.id), p.changes(a))
	}
	p.send(a, e, false)
	p.deliveries(a, e.Deliveries)
	if e.More {
		p.printf("%s: there is more to do", name(a.id))
	}
	if !nolog {
		p.log(a)
	}
}

func short(op []byte) []byte { return op[:min(len(op), 8)] }

func (p *play) deliveries(a *actor, all []Delivery) {
	for _, d := range all {
		p.printf("%s: delivers #%d %q from %s, slot %d, time %d", name(a.id), d.Seq, short(d.Record.Op()), name(int(d.Sender)), d.Record.Position(), d.Timestamp)
	}
	a.unlogged = append(a.unlogged, all...)
}

func (p *play) log(a *actor) {
	if n := len(a.unlogged); n > 0 {
		a.g.Logged(a.unlogged[n-1].Seq)
		a.unlogged = nil
	}
}

// changes names the words of a's row that differ from those pushed before.
func (p *play) changes(a *actor) string {
	var all []string
	before := p.pushed[a.id]
	if before == nil {
		before = make([]uint64, len(a.table.Row()))
	}
	for _, c := range p.columns(a.table.Layout()) {
		if v := a.table.Get(c.at); v != before[c.at] {
			all = append(all, fmt.Sprintf("%s %d", c.name, v))
		}
	}
	p.pushed[a.id] = append([]uint64(nil), a.table.Row()...)
	return strings.Join(all, ", ")
}

type namedColumn struct {
	name string
	at   sst.Column
}

func (p *play) columns(l sst.Layout) []namedColumn {
	all := []namedColumn{{"tail", l.Tail(1)}, {"sent", l.Sent(1)}}
	for i := range p.actors {
		all = append(all, namedColumn{"received " + name(i), l.Received(1, ids.Rank(i))})
	}
	return append(all, namedColumn{"delivered", l.Delivered(1)}, namedColumn{"persisted", l.Persisted(1)}, namedColumn{"frontier", l.Frontier(1)},
		namedColumn{"wantPersisted", l.WantPersisted(1)}, namedColumn{"wantFrontier", l.WantFrontier(1)}, namedColumn{"wedged", l.Wedged()})
}

func (p *play) rows() {
	for _, a := range p.actors {
		var all []string
		for _, c := range p.columns(a.table.Layout()) {
			if v := a.table.Get(c.at); v != 0 {
				all = append(all, fmt.Sprintf("%s %d", c.name, v))
			}
		}
		p.printf("%s: %s", name(a.id), strings.Join(all, ", "))
	}
}

func (p *play) carryScript(pairs []string, size int) {
	if len(pairs) == 0 {
		p.carryAll()
	}
	for _, pair := range pairs {
		a, to := p.actor(pair[:1]), int(pair[2]-'A')
		if size > 0 {
			p.carry(a, to, size)
			continue
		}
		for p.carry(a, to, 1<<30) {
		}
	}
}

func (p *play) trimOne(a *actor, words []string) {
	var trim []uint64
	for _, w := range words {
		v, err := strconv.ParseUint(w, 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		trim = append(trim, v)
	}
	all, err := a.g.Trim(trim)
	if err != nil {
		p.printf("%s: %v: %v", name(a.id), errs.KindOf(err), err)
	}
	p.deliveries(a, all)
	p.log(a)
}
