package sim

import (
	"dfs/fabric"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// watchedLog shows the referees what a machine appends and syncs.
type watchedLog struct {
	*versionlog.Log
	m *machine
}

func (l *watchedLog) Append(recs []record.Record) ([]versionlog.LSN, error) {
	if l.m.dying {
		return nil, errDying
	}
	if !l.m.stalled { // else the places in the rings are overwritten
		for _, r := range ops(recs) {
			l.m.w.rows.delivers(l.m, r)
		}
	}
	lsns, err := l.Log.Append(recs)
	l.m.stalled = err != nil
	if err != nil {
		l.m.w.note(l.m.id, "append failed: "+err.Error(), uint64(len(recs)), 0)
		if l.Err() != nil {
			if l.m.futile++; l.m.futile > 1 {
				l.m.w.fail("W4: node %d goes on with a log that has failed: %v", l.m.id, err)
			}
		}
		return lsns, err
	}
	for i, r := range recs {
		l.m.w.note(l.m.id, "append", uint64(r.Header().Version), uint64(lsns[i]))
	}
	for _, r := range ops(recs) {
		l.m.w.order.appended(l.m, r)
	}
	if l.m.wedged {
		l.m.w.faults.reach(l.m, pointTrimmed, 0)
	}
	return lsns, nil
}

// ops returns the operations: copies of data that came later are none.
func ops(recs []record.Record) (out []record.Record) {
	for _, r := range recs {
		if r.Kind() == record.Op {
			out = append(out, r)
		}
	}
	return out
}

func (l *watchedLog) Sync() (versionlog.LSN, error) {
	if l.m.dying {
		return 0, errDying
	}
	pos := l.m.pos
	lsn, err := l.Log.Sync()
	l.m.w.note(l.m.id, "synced", uint64(lsn), b2u(err == nil))
	if err == nil {
		l.m.synced = max(l.m.synced, pos)
		if l.m.wedged {
			l.m.w.faults.reach(l.m, pointSynced, 0)
		}
	}
	return lsn, err
}

// watchedFabric shows the referees the rows that a machine pushes, and the views that it enters.
type watchedFabric struct {
	fabric.Fabric
	m *machine
}

func (f *watchedFabric) Register(id fabric.RegionID, mem []byte) {
	if v, ok := tableView(id); ok {
		f.m.w.count.views++
		f.m.ringView, f.m.wedged = v, false
		f.m.w.note(f.m.id, "view", uint64(v), 0)
		f.m.w.faults.provoke()
		f.m.w.faults.reach(f.m, pointActivated, 0)
	}
	f.m.regions[id] = true
	f.Fabric.Register(id, mem)
}

func (f *watchedFabric) Deregister(id fabric.RegionID) {
	delete(f.m.regions, id)
	f.Fabric.Deregister(id)
}

func (f *watchedFabric) WriteWords(peer ids.NodeID, id fabric.RegionID, off int, words []uint64) {
	if f.m.dying {
		return
	}
	if v, ok := tableView(id); ok {
		f.m.w.rows.pushed(f.m, v, off, words)
	}
	f.Fabric.WriteWords(peer, id, off, words)
}

func (f *watchedFabric) Write(peer ids.NodeID, id fabric.RegionID, off int, b []byte) {
	if !f.m.dying {
		f.Fabric.Write(peer, id, off, b)
	}
}

// Send shows the faults where a change of views is: a machine may end after any of its messages.
func (f *watchedFabric) Send(peer ids.NodeID, msg []byte) {
	if f.m.dying {
		return
	}
	f.Fabric.Send(peer, msg)
	if at, ok := viewMessage(msg); ok {
		if at == pointPrepare {
			b := ballotOf(msg)
			f.m.w.asked[b] = append(f.m.w.asked[b], b.Node, peer)
		}
		f.m.w.faults.reach(f.m, at, peer)
	}
}
