package sim

import (
	"fmt"
	"slices"

	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
	"dfs/versionlog"
	"dfs/views"
)

// flip is a bit of the data of a record that is not as it was written.
type flip struct {
	version ids.Version
	lsn     versionlog.LSN
	size    int // of the data
	file    string
	off     int64
	bits    byte
	good    byte // the byte as it was
}

// there reports whether the bit was not repaired.
func (f *flip) there(m *machine) bool { return m.disk.Rot(f.file, f.off, 0) == f.good^f.bits }

// mend takes off what was repaired.
func (m *machine) mend() {
	m.rot = slices.DeleteFunc(m.rot, func(f flip) bool {
		if f.there(m) {
			return false
		}
		m.w.count.repaired++
		return true
	})
}

// unrotten undoes on a copy of a machine's disk what rot did. A referee that reads a log wants to see what was written.
func (m *machine) unrotten(disk *nvm.Strict) *nvm.Strict {
	for _, f := range m.rot {
		if disk.Rot(f.file, f.off, 0) == f.good^f.bits {
			disk.Rot(f.file, f.off, f.bits)
		}
	}
	return disk
}

// withoutRot is the log, or another one on a copy of the disk on which nothing is rotten.
func (m *machine) withoutRot(log *versionlog.Log) *versionlog.Log {
	if len(m.rot) == 0 {
		return log
	}
	return m.reopen(m.disk)
}

// bitRot flips a bit of some data on a disk: of data that another node has, undamaged and durable, so that no damaged byte may
// ever be served, nor any be missing. It hits what recovery does not read: of what it reads it says that it is damaged, and
// the node is to be replaced.
func (f *faults) bitRot() {
	w, m := f.w, f.anyone()
	view, ok := w.atRest()
	if !ok || m.sick || m.node == nil || m.dying || m.ringView != view.ID {
		return
	}
	m.flushIndex() // so that no replay is needed; it would do no harm
	last := m.log.Durable() / versionlog.LSN(w.segmentSize)
	var found []flip
	err := m.log.Heads(0, func(lsn versionlog.LSN, r record.Record) error {
		h := r.Header()
		if lsn/versionlog.LSN(w.segmentSize) >= last || r.Hollow() || r.DataLen() == 0 || !w.elsewhere(m, view, h.Version, h.Subgroup) {
			return nil
		}
		found = append(found, flip{version: h.Version, lsn: lsn, size: r.DataLen(), off: int64(lsn)%w.segmentSize + int64(r.DataOffset())})
		return nil
	})
	if err != nil {
		w.fail("the log of node %d cannot be read: %v", m.id, err)
	}
	if len(found) == 0 {
		return
	}
	hit := pick(w.rng, found...)
	hit.off += w.rng.Int64N(int64(hit.size))
	hit.file, hit.bits = fmt.Sprintf("segment-%010d", int64(hit.lsn)/w.segmentSize), 1<<w.rng.IntN(8)
	hit.good = m.disk.Rot(hit.file, hit.off, hit.bits) ^ hit.bits
	m.rot = append(m.rot, hit)
	w.count.rotten++
	w.note(m.id, "bit rot", uint64(hit.version), uint64(hit.lsn))
}

// elsewhere reports whether another member keeps the data of a version of a shard, durably and undamaged.
func (w *world) elsewhere(m *machine, view views.View, v ids.Version, sub ids.Subgroup) bool {
	place := w.order.ofVersion(v)
	return slices.ContainsFunc(w.keepersOf(view.NodeIDs(), sub), func(n ids.NodeID) bool {
		o := w.machines[n-1]
		return o != m && view.Rank(n) >= 0 && o.synced >= place && !slices.ContainsFunc(o.rot, func(f flip) bool { return f.version == v })
	}) && slices.Contains(w.keepersOf(view.NodeIDs(), sub), m.id)
}

// scrub reads all that is rotten at a machine; that repairs it.
func (w *world) scrub() {
	for _, m := range w.present() {
		for _, f := range m.rot {
			d := m.node.AskData(uint64(f.lsn), 0, make([]byte, f.size))
			m.wake()
			m.await("repair", d.Ready, func() {
				if err := d.Wait(); err != nil {
					w.fail("W11: node %d cannot read version %v, which has a bad bit, though others have it: %v", m.id, f.version, err)
				}
			})
		}
	}
	w.finish("end of repairs")
	for _, m := range w.present() {
		if m.mend(); len(m.rot) > 0 {
			w.fail("W11: bad bits at node %d were not repaired: %v", m.id, m.rot)
		}
	}
}
