package views

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

const (
	maxMembers = 1 << 10
	maxGroups  = 1 << 12
	maxAddr    = 1 << 10
)

// An encoder appends; a decoder consumes and remembers the first failure.
type encoder struct{ b []byte }

func (e *encoder) u64(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *encoder) flag(v bool) {
	if v {
		e.u64(1)
	} else {
		e.u64(0)
	}
}

func (e *encoder) member(m Member) { e.u64(uint64(m.Node)); e.u64(uint64(m.Incarnation)) }

func (e *encoder) ballot(b Ballot) { e.u64(b.Round); e.u64(uint64(b.Node)) }

func (e *encoder) peers(peers []Peer) {
	e.u64(uint64(len(peers)))
	for _, p := range peers {
		e.u64(uint64(p.Node))
		e.u64(uint64(len(p.Addr)))
		e.b = append(e.b, p.Addr...)
	}
}

func (e *encoder) nodes(nodes []ids.NodeID) {
	e.u64(uint64(len(nodes)))
	for _, n := range nodes {
		e.u64(uint64(n))
	}
}

func (e *encoder) sets(sets [][]ids.NodeID) {
	e.u64(uint64(len(sets)))
	for _, nodes := range sets {
		e.nodes(nodes)
	}
}

func (e *encoder) vectors(v [][]uint64) {
	e.u64(uint64(len(v)))
	for _, row := range v {
		e.u64(uint64(len(row)))
		for _, x := range row {
			e.u64(x)
		}
	}
}

func (e *encoder) trim(t *Trim) {
	e.flag(t != nil)
	if t != nil {
		e.u64(uint64(t.View))
		e.vectors(t.Upto)
	}
}

func (e *encoder) view(v *View) {
	e.u64(uint64(v.ID))
	e.u64(uint64(v.Floor))
	e.u64(uint64(len(v.Members)))
	for _, m := range v.Members {
		e.member(m)
	}
	e.peers(v.Nodes)
	e.nodes(v.Settled)
	e.trim(v.Ended)
}

func (e *encoder) proposal(p *Proposal) {
	e.flag(p != nil)
	if p != nil {
		e.ballot(p.Ballot)
		e.view(&p.View)
		e.view(&p.Base)
		e.trim(p.Trim)
	}
}

func (e *encoder) versions(v []ids.Version) {
	e.u64(uint64(len(v)))
	for _, x := range v {
		e.u64(uint64(x))
	}
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) u64() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) u32() uint32 {
	v := d.u64()
	if v > 1<<32-1 {
		d.bad = true
	}
	return uint32(v)
}

func (d *decoder) flag() bool { return d.u64() == 1 }

// count reads a length, bounded by limit and by the bytes left, so that nothing is allocated by a
// length alone.
func (d *decoder) count(limit int) int {
	n := d.u64()
	if n > uint64(limit) || n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) member() Member {
	return Member{Node: ids.NodeID(d.u32()), Incarnation: d.u32()}
}

// ballot refuses rounds that Number or the next round would overflow with.
func (d *decoder) ballot() Ballot {
	return Ballot{Round: d.round(), Node: ids.NodeID(d.u32())}
}

func (d *decoder) round() uint64 {
	r := d.u64()
	if r >= 1<<31 {
		d.bad = true
	}
	return r
}

// peers reads a list of configured nodes, which must be in order.
func (d *decoder) peers() []Peer {
	n := d.count(maxMembers)
	if n == 0 {
		return nil
	}
	out := make([]Peer, n)
	for i := range out {
		out[i].Node = ids.NodeID(d.u32())
		k := d.count(maxAddr)
		out[i].Addr, d.b = string(d.b[:k]), d.b[k:]
		if i > 0 && out[i].Node <= out[i-1].Node {
			d.bad = true
		}
	}
	return out
}

func (d *decoder) nodes() []ids.NodeID {
	n := d.count(maxMembers)
	if n == 0 {
		return nil
	}
	out := make([]ids.NodeID, n)
	for i := range out {
		out[i] = ids.NodeID(d.u32())
	}
	return out
}

// maxSets is more than the layouts that a view can have.
const maxSets = 2

func (d *decoder) sets() [][]ids.NodeID {
	n := d.count(maxSets)
	if n == 0 {
		return nil
	}
	out := make([][]ids.NodeID, n)
	for i := range out {
		out[i] = d.nodes()
	}
	return out
}

func (d *decoder) vectors() [][]uint64 {
	n := d.count(maxGroups)
	if n == 0 {
		return nil
	}
	out := make([][]uint64, n)
	for i := range out {
		out[i] = make([]uint64, d.count(maxMembers))
		for j := range out[i] {
			out[i][j] = d.u64()
		}
	}
	return out
}

func (d *decoder) trim() *Trim {
	if !d.flag() {
		return nil
	}
	return &Trim{View: ids.ViewID(d.u32()), Upto: d.vectors()}
}

// view reads a view, whose members must be in order.
func (d *decoder) view() View {
	v := View{ID: ids.ViewID(d.u32()), Floor: hlc.Timestamp(d.u64())}
	if v.ID >= ids.MaxView {
		d.bad = true
	}
	if n := d.count(maxMembers); n > 0 {
		v.Members = make([]Member, n)
	}
	for i := range v.Members {
		v.Members[i] = d.member()
		if i > 0 && v.Members[i].Node <= v.Members[i-1].Node {
			d.bad = true
		}
	}
	v.Nodes = d.peers()
	v.Settled = d.nodes()
	if v.Ended = d.trim(); v.Ended != nil && v.Ended.View >= v.ID {
		d.bad = true
	}
	return v
}

func (d *decoder) proposal() *Proposal {
	if !d.flag() {
		return nil
	}
	p := &Proposal{Ballot: d.ballot(), View: d.view(), Base: d.view(), Trim: d.trim()}
	if p.View.ID != p.Base.ID+1 || p.Trim != nil && p.Trim.View != p.Base.ID {
		d.bad = true
	}
	return p
}

func (d *decoder) versions() []ids.Version {
	n := d.count(maxGroups)
	if n == 0 {
		return nil
	}
	out := make([]ids.Version, n)
	for i := range out {
		out[i] = ids.Version(d.u64())
	}
	return out
}

func (d *decoder) done(what string) error {
	if d.bad || len(d.b) != 0 {
		return errs.New(errs.Corrupt, "%s is malformed", what)
	}
	return nil
}

const durableFormat = 4

// Encode returns the bytes that DecodeDurable reads.
func (s *Durable) Encode() []byte {
	var e encoder
	e.u64(durableFormat)
	e.view(&s.View)
	e.ballot(s.Promised)
	e.proposal(s.Accepted)
	return e.b
}

// DecodeDurable reads what Encode wrote; it fails with errs.Corrupt, or errs.NotSupported for another format.
func DecodeDurable(b []byte) (Durable, error) {
	d := decoder{b: b}
	if f := d.u64(); f != durableFormat {
		return Durable{}, errs.New(errs.NotSupported, "the view state has format %d, another version of dfs wrote it: this one knows format %d", f, durableFormat)
	}
	s := Durable{View: d.view(), Promised: d.ballot(), Accepted: d.proposal()}
	return s, d.done("view state")
}
