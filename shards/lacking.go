package shards

import (
	"encoding/binary"
	"slices"

	"dfs/errs"
	"dfs/ids"
	"dfs/index"
	"dfs/multicast"
	"dfs/record"
	"dfs/versionlog"
)

// What the log has without its data is followed by shard: where the first record is that may lack it. That is kept in
// the index, and so is where the copy of a hollow record is, atomically with the place up to which the log is applied.
const (
	metaLacks = "lacks"
	metaCopy  = "copy."
)

// lack says where in the log the hollow records of a shard are that have no copy here.
type lack struct {
	some    bool           // there may be any
	next    versionlog.LSN // none is before
	version ids.Version    // none is before
	last    versionlog.LSN // none is behind
}

// lacksAny reports whether data is lacking here that this node is to have.
func (n *Node) lacksAny(h *homes) bool {
	for sub := range n.lacks {
		if n.lacks[sub].some && h.keeps(n.cfg.Self.Node, ids.Subgroup(sub)) {
			return true
		}
	}
	return false
}

// noteHollow takes note of a record that is appended without its data.
func (n *Node) noteHollow(h record.Header, lsn versionlog.LSN) (changed bool) {
	l := &n.lacks[h.Subgroup]
	l.last = lsn
	if n.whole && n.homes.keeps(n.cfg.Self.Node, h.Subgroup) {
		n.whole = false
	}
	if l.some {
		return false
	}
	*l = lack{some: true, next: lsn, version: h.Version, last: lsn}
	return true
}

func (n *Node) saveLacks(tx *index.Tx) {
	le := binary.LittleEndian
	var b []byte
	for sub, l := range n.lacks {
		if l.some {
			b = le.AppendUint16(b, uint16(sub))
			b = le.AppendUint64(b, uint64(l.next))
			b = le.AppendUint64(b, uint64(l.version))
		}
	}
	tx.SetMeta(metaLacks, b)
}

func (n *Node) loadLacks() {
	le := binary.LittleEndian
	n.lacks = make([]lack, n.cfg.Shards+1)
	b, _ := n.cfg.Index.Meta(metaLacks)
	for ; len(b) >= 18; b = b[18:] {
		if sub := int(le.Uint16(b)); sub < len(n.lacks) {
			n.lacks[sub] = lack{
				some: true, next: versionlog.LSN(le.Uint64(b[2:])), version: ids.Version(le.Uint64(b[10:])), last: n.cfg.Log.End(),
			}
		}
	}
}

// recoverLacks finds out what lacks of what this node was to keep, after the copies in the log are known.
func (n *Node) recoverLacks() error {
	want := make([]bool, len(n.lacks))
	for sub := range want {
		want[sub] = n.lacks[sub].some && n.homes.keeps(n.cfg.Self.Node, ids.Subgroup(sub))
	}
	for from, ok := n.firstLack(want); ok; {
		f := n.findLacking(from, want)
		if f.err != nil {
			return errs.Wrap(errs.KindOf(f.err), f.err, "looking for data that is not here")
		}
		for _, head := range f.records {
			if h := head.Header(); want[h.Subgroup] {
				l := &n.lacks[h.Subgroup]
				l.next, l.version, want[h.Subgroup] = versionlog.LSN(h.Position), h.Version, false
			}
		}
		if from.next, from.version, ok = f.next, f.version, f.more && slices.Contains(want, true); f.more {
			continue
		}
		for sub := range want {
			if want[sub] {
				n.lacks[sub] = lack{}
			}
		}
	}
	return nil
}

// firstLack returns the first of the places from which on data of the shards may be lacking.
func (n *Node) firstLack(want []bool) (first lack, ok bool) {
	for sub, l := range n.lacks {
		if l.some && want[sub] && (!ok || l.next < first.next) {
			first, ok = l, true
		}
	}
	return first, ok
}

// fullUpTo returns for each order a version up to which all data is here that the layout of the nodes gives this one.
func (n *Node) fullUpTo(nodes []ids.NodeID) []ids.Version {
	h := newHomes([][]ids.NodeID{nodes}, n.cfg.Shards, n.cfg.Replicas)
	out := make([]ids.Version, len(n.orders))
	for g, o := range n.orders {
		out[g] = o.last
		for _, sub := range o.layout.Subgroups {
			if l := n.lacks[sub]; l.some && h.keeps(n.cfg.Self.Node, sub) {
				out[g] = min(out[g], l.version-1)
			}
		}
	}
	return out
}

func copyKey(of versionlog.LSN) string {
	return metaCopy + string(binary.BigEndian.AppendUint64(nil, uint64(of)))
}

// copyHere returns where the data of a hollow record is, if it came later.
func (n *Node) copyHere(of versionlog.LSN) (versionlog.LSN, bool) {
	b, ok := n.cfg.Index.Meta(copyKey(of))
	if !ok || len(b) != 8 {
		return 0, false
	}
	return versionlog.LSN(binary.LittleEndian.Uint64(b)), true
}

// copied says that the log has a copy of a hollow record.
type copied struct{ of, at versionlog.LSN }

// noteCopies tells the index of copies in the log, which goes up to next.
func (n *Node) noteCopies(copies []copied, next versionlog.LSN) error {
	if len(copies) == 0 {
		return nil
	}
	tx := n.cfg.Index.Begin()
	for _, c := range copies {
		tx.SetMeta(copyKey(c.of), binary.LittleEndian.AppendUint64(nil, uint64(c.at)))
	}
	n.applied.next = next
	n.saveApplied(tx)
	n.saveLacks(tx)
	if err := tx.Commit(); err != nil {
		return errs.Wrap(errs.KindOf(err), err, "committing copies to the index")
	}
	return nil
}

// findLacking looks for records without data from a place on, of the shards that are wanted.
func (n *Node) findLacking(from lack, want []bool) found {
	f := found{next: from.next, version: from.version}
	end, size := n.cfg.Log.End(), 0
	err := n.cfg.Log.Heads(from.next, func(lsn versionlog.LSN, head record.Record) error {
		if lsn >= end {
			return errEnough
		}
		if head.Kind() != record.Op {
			return nil
		}
		h := head.Header()
		f.next, f.version = lsn, h.Version
		if size >= batchBytes || len(f.records) >= batchRecords || lsn-from.next >= scanBytes {
			f.more = true
			return errEnough
		}
		f.version++
		if !head.Hollow() || !want[h.Subgroup] {
			return nil
		}
		if _, ok := n.copyHere(lsn); !ok {
			f.records = append(f.records, append(record.Record(nil), head...))
			size += head.DataLen()
		}
		return nil
	})
	if err != nil && err != errEnough {
		f.err = err
	}
	if !f.more {
		f.next = end
	}
	return f
}

// notFetched returns those of the deliveries that end a view which the log does not have from others. This node has caught up
// with a view that went on without it when there are such. Of the data of these its rings may have what nobody else has.
func (n *Node) notFetched(o *order, ds []multicast.Delivery) ([]multicast.Delivery, error) {
	var copies []record.Record
	for len(ds) > 0 && ds[0].Record.Header().Version <= o.last {
		r := n.stored(&n.view.homes, ds[0].Record)
		ds = ds[1:]
		if r.DataLen() == 0 || r.Hollow() {
			continue
		}
		lsn, err := n.cfg.Log.Find(r.Header().Version)
		if err != nil {
			return nil, errs.Wrap(errs.KindOf(err), err, "looking for what the log has from others")
		}
		head, err := n.cfg.Log.Head(lsn)
		if err != nil {
			return nil, errs.Wrap(errs.KindOf(err), err, "looking for what the log has from others")
		}
		if _, ok := n.copyHere(lsn); ok || !head.Hollow() {
			continue
		}
		c, err := versionlog.CopyOf(head, r.Data())
		if err != nil {
			return nil, err
		}
		copies = append(copies, c)
	}
	if len(copies) == 0 {
		return ds, nil
	}
	if err := n.appendCopies(copies); err != nil {
		return nil, err
	}
	return ds, n.recoverLacks()
}

// found is what findLacking found.
type found struct {
	records []record.Record // their heads
	next    versionlog.LSN  // it goes on here
	version ids.Version     // all before are known
	more    bool            // next is not the end of the log as it was
	err     error
}
