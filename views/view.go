package views

import (
	"encoding/binary"
	"slices"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// Member is a node in one of its lives.
type Member struct {
	Node        ids.NodeID
	Incarnation uint32
}

// View is a numbered list of members; a member's rank is its index.
type View struct {
	ID      ids.ViewID
	Members []Member
	// Floor is a moment before which no message of the view may be stamped: everything that was
	// answered about the past before the view began stays true.
	Floor hlc.Timestamp
}

// Rank returns the rank of node, or -1.
func (v *View) Rank(node ids.NodeID) ids.Rank {
	return ids.Rank(slices.IndexFunc(v.Members, func(m Member) bool { return m.Node == node }))
}

// Trim is where each group's last view ends: Upto[g][r] slots of rank r are delivered.
type Trim struct {
	View ids.ViewID
	Upto [][]uint64
}

// Report is what a node says of itself while no view is active.
type Report struct {
	Member    Member
	Attempt   uint64        // which of this node's attempts at a next view
	Linked    bool          // it has a link to every other member
	Installed ids.ViewID    // the last view it persisted, 0 for none
	Survivor  bool          // it still holds the rings of that view
	Received  [][]uint64    // survivors: slots received, by group and rank of the installed view
	Trim      *Trim         // the trim of the installed view, if it persisted one
	End       []ids.Version // the last version in its log, by group
	Floor     hlc.Timestamp // the latest moment it answered questions about
}

// Durable is what a node must persist of views: the last view it installed, and the trim of that view
// once it has seen one.
type Durable struct {
	View View
	Trim *Trim
}

const (
	maxMembers = 1 << 10
	maxGroups  = 1 << 12
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
func (d *decoder) vectors() [][]uint64 {
	out := make([][]uint64, d.count(maxGroups))
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
func (d *decoder) view() View {
	v := View{ID: ids.ViewID(d.u32()), Floor: hlc.Timestamp(d.u64())}
	if v.ID > ids.MaxView {
		d.bad = true
	}
	v.Members = make([]Member, d.count(maxMembers))
	for i := range v.Members {
		v.Members[i] = d.member()
	}
	return v
}
func (d *decoder) versions() []ids.Version {
	out := make([]ids.Version, d.count(maxGroups))
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

// Encode returns the bytes that DecodeDurable reads.
func (s *Durable) Encode() []byte {
	var e encoder
	e.u64(1) // format
	e.view(&s.View)
	e.trim(s.Trim)
	return e.b
}

// DecodeDurable reads what Encode wrote; it fails with errs.Corrupt.
func DecodeDurable(b []byte) (Durable, error) {
	d := decoder{b: b}
	if f := d.u64(); f != 1 {
		return Durable{}, errs.New(errs.Corrupt, "view state has format %d, this program knows 1", f)
	}
	s := Durable{View: d.view(), Trim: d.trim()}
	return s, d.done("view state")
}
