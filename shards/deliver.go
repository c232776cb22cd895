package shards

import (
	"encoding/binary"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/multicast"
	"dfs/namespace"
	"dfs/objects"
	"dfs/record"
	"dfs/versionlog"
)

// appliedMark is what the index has of the log; it is kept in the index, atomically with it.
type appliedMark struct {
	next versionlog.LSN // the first record that is not applied
	born hlc.Timestamp  // of the first operation ever
}

const (
	metaApplied = "applied"
	metaOrigin  = "origin."
	metaOrigins = "origins" // whose there are
	metaOrder   = "order."
)

// retryFull is how often a full log is tried again.
const retryFull = hlc.Timestamp(50 * time.Millisecond)

// applyAtOnce is how many records are applied between two signs of life. A step delivers no more (multicast.Config); the
// end of a view may bring whole rings of small ones, which take seconds where others want the processor too.
const applyAtOnce = 512

// deliver logs and applies messages and then gives up their place in the rings. If the log has no
// room, they wait, and everyone with them: nothing is half-applied.
func (n *Node) deliver(o *order, ds []multicast.Delivery) {
	full := len(o.stalled) > 0
	if full {
		ds = append(o.stalled, ds...)
		if now := n.cfg.Physical(); now >= o.stalledAt && now-o.stalledAt < retryFull {
			o.stalled = ds
			return
		}
		o.stalled = nil
	}
	for len(ds) > 0 {
		some := ds[:min(len(ds), applyAtOnce)]
		recs := make([]record.Record, len(some))
		for i := range some {
			recs[i] = n.stored(&n.view.homes, some[i].Record)
		}
		if err := n.ingest(o, recs); err != nil {
			if errs.KindOf(err) == errs.NoSpace {
				if !full {
					n.log.Error("the log is full: free space on the disk of the data directory", "err", err)
				}
				o.stalled, o.stalledAt = append([]multicast.Delivery(nil), ds...), n.cfg.Physical()
				return
			}
			n.fail(err)
			return
		}
		if full {
			full = false
			n.log.Info("the log has room again")
		}
		o.mc.Logged(some[len(some)-1].Seq)
		if ds = ds[len(some):]; len(ds) > 0 {
			n.ping()
			n.fab.Flush()
		}
	}
}

// ingest appends records to the log, applies them, and lets everyone see them.
func (n *Node) ingest(o *order, recs []record.Record) error {
	lsns, err := n.cfg.Log.Append(recs)
	if err != nil {
		return errs.Wrap(errs.KindOf(err), err, "appending to the log")
	}
	if o.unsynced.len() == 0 {
		n.startWaiting(o)
	}
	results, err := n.apply(o, lsns, recs, n.cfg.Log.End())
	if err != nil {
		return err
	}
	o.unsynced.push(mark{end: n.cfg.Log.End(), ver: o.last})
	o.undurable.push(moment{o.last, o.timeNow()})
	n.answer(o, recs, results)
	return nil
}

// apply runs the state machines over records that are in the log, which go up to next, and commits the
// outcome. It needs only the heads of the records.
func (n *Node) apply(o *order, lsns []versionlog.LSN, recs []record.Record, next versionlog.LSN) ([]Result, error) {
	tx := n.cfg.Index.Begin()
	results := make([]Result, len(recs))
	var h record.Header
	changed, lacks := map[ids.NodeID]bool{}, false
	for i, r := range recs {
		h = r.Header()
		results[i] = Result{Timestamp: h.Timestamp, Version: h.Version}
		if n.applied.born == 0 {
			n.bornAt.Store(int64(h.Timestamp))
			n.applied.born = h.Timestamp
		}
		if r.Hollow() {
			lacks = n.noteHollow(h, lsns[i]) || lacks
		}
		if !n.first(h) {
			continue
		}
		changed[h.Origin] = true
		n.subs[h.Subgroup].Applied++
		n.subs[h.Subgroup].Version = h.Version
		results[i].Kind, results[i].Body = n.run(tx.Writer(h.Subgroup, h.Timestamp), h, lsns[i], r)
	}
	n.applied.next = next
	n.saveMarks(tx, o, h, changed)
	if lacks {
		n.saveLacks(tx)
	}
	if err := tx.Commit(); err != nil {
		return nil, errs.Wrap(errs.KindOf(err), err, "committing to the index")
	}
	o.last = h.Version
	n.clock.Observe(h.Timestamp)
	o.now.Store(int64(h.Timestamp))
	o.frontier.Store(max(o.frontier.Load(), int64(h.Timestamp)))
	return results, nil
}

// first reports whether an operation was not applied before (G4).
func (n *Node) first(h record.Header) bool {
	seen := n.origins[h.Origin]
	if h.Incarnation < seen.incarnation || h.Incarnation == seen.incarnation && h.Counter <= seen.counter {
		return false
	}
	n.origins[h.Origin] = origin{incarnation: h.Incarnation, counter: h.Counter}
	return true
}

func (n *Node) run(w index.Writer, h record.Header, lsn versionlog.LSN, r record.Record) (errs.Kind, []byte) {
	if h.Subgroup == ids.Namespace {
		return namespace.Apply(w, h.Timestamp, r.Op())
	}
	return objects.Apply(w, h.Timestamp, r.Op(), objects.DataRef{LSN: uint64(lsn), Len: int(h.DataLen)})
}

func (n *Node) saveMarks(tx *index.Tx, o *order, last record.Header, changed map[ids.NodeID]bool) {
	n.saveApplied(tx)
	le := binary.LittleEndian
	b := le.AppendUint64(nil, uint64(last.Version))
	b = le.AppendUint64(b, uint64(last.Timestamp))
	tx.SetMeta(metaOrder+string(rune('0'+o.id)), le.AppendUint64(b, uint64(o.safe.Load())))
	if len(n.origins) != n.savedOrigins {
		n.savedOrigins = len(n.origins)
		b = nil
		for node := range n.origins {
			b = le.AppendUint32(b, uint32(node))
		}
		tx.SetMeta(metaOrigins, b)
	}
	for node := range changed {
		b = le.AppendUint64(nil, uint64(n.origins[node].incarnation))
		tx.SetMeta(originKey(node), le.AppendUint64(b, n.origins[node].counter))
	}
}

func (n *Node) saveApplied(tx *index.Tx) {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, uint64(n.applied.next))
	tx.SetMeta(metaApplied, le.AppendUint64(b, uint64(n.applied.born)))
}

// knownNodes returns the nodes whose operations the index has.
func (n *Node) knownNodes() []ids.NodeID {
	var nodes []ids.NodeID
	b, _ := n.cfg.Index.Meta(metaOrigins)
	for ; len(b) >= 4; b = b[4:] {
		nodes = append(nodes, ids.NodeID(binary.LittleEndian.Uint32(b)))
	}
	n.savedOrigins = len(nodes)
	return nodes
}

func originKey(node ids.NodeID) string {
	return metaOrigin + string(binary.BigEndian.AppendUint32(nil, uint32(node)))
}

// answer tells those who submitted the operations here. What was delivered between two views is answered when the next
// one opens: until then a node that is left out may answer reads without it.
func (n *Node) answer(o *order, recs []record.Record, results []Result) {
	n.mu.Lock()
	for i, r := range recs {
		h := r.Header()
		if h.Origin == n.cfg.Self.Node && h.Incarnation == n.cfg.Self.Incarnation && o.calls.len() > 0 {
			if call := *o.calls.front(); call.counter == h.Counter {
				o.calls.pop()
				if n.view != nil && n.view.open {
					call.finish(results[i], nil)
				} else {
					n.held = append(n.held, heldAnswer{call, results[i]})
				}
			}
		}
	}
	n.mu.Unlock()
	for _, fn := range n.onApply {
		for i, r := range recs {
			if results[i].Kind == errs.OK {
				h := r.Header()
				fn(h.Subgroup, h.Origin, r.Op())
			}
		}
	}
}

// heldAnswer is what a call is to be told when a view opens.
type heldAnswer struct {
	call   *Call
	result Result
}

// recover brings the index up to the end of the log.
func (n *Node) recover() error {
	le := binary.LittleEndian
	if b, ok := n.cfg.Index.Meta(metaApplied); ok && len(b) == 16 {
		n.applied = appliedMark{next: versionlog.LSN(le.Uint64(b)), born: hlc.Timestamp(le.Uint64(b[8:]))}
		n.bornAt.Store(int64(n.applied.born))
	}
	for _, node := range n.knownNodes() {
		if b, ok := n.cfg.Index.Meta(originKey(node)); ok && len(b) == 16 {
			n.origins[node] = origin{incarnation: uint32(le.Uint64(b)), counter: le.Uint64(b[8:])}
		}
	}
	for _, o := range n.orders {
		if b, ok := n.cfg.Index.Meta(metaOrder + string(rune('0'+o.id))); ok && len(b) == 24 {
			o.last = ids.Version(le.Uint64(b))
			o.safe.Store(int64(le.Uint64(b[16:])))
			n.settle(o, hlc.Timestamp(le.Uint64(b[8:])))
		}
	}
	if n.applied.next > n.cfg.Log.End() {
		return errs.New(errs.Corrupt, "the index is ahead of the log (%d, the log ends at %d): the log lost what was durable", n.applied.next, n.cfg.Log.End())
	}
	n.loadLacks()
	if err := n.replay(); err != nil {
		return err
	}
	if err := n.recoverLacks(); err != nil {
		return err
	}
	// What is in the log may not have been synced by the life that wrote it.
	if _, err := n.cfg.Log.Sync(); err != nil {
		return errs.Wrap(errs.KindOf(err), err, "syncing the recovered log")
	}
	for _, o := range n.orders {
		o.durable.Store(0)
		n.settle(o, o.timeNow())
	}
	return nil
}

// settle notes where an order ends while there is no view.
func (n *Node) settle(o *order, t hlc.Timestamp) {
	n.clock.Observe(t)
	o.now.Store(int64(t))
	o.frontier.Store(max(o.frontier.Load(), int64(t)))
}

// replay applies the records that the index lacks, in batches. It reads heads only, so damaged data is no hindrance.
func (n *Node) replay() error {
	const batch = 512
	o := n.orders[0]
	var lsns []versionlog.LSN
	var recs []record.Record
	var copies []copied
	var next versionlog.LSN
	flush := func() error {
		upto := next
		if len(recs) > 0 {
			upto = n.applied.next // these are applied after the copies, and only then counted
		}
		err := n.noteCopies(copies, upto)
		if err == nil && len(recs) > 0 {
			_, err = n.apply(o, lsns, recs, next)
		}
		lsns, recs, copies = lsns[:0], recs[:0], copies[:0]
		return err
	}
	err := n.cfg.Log.Heads(n.applied.next, func(lsn versionlog.LSN, r record.Record) error {
		size, err := record.PeekSize(r)
		if err != nil {
			return err
		}
		if r.Kind() == record.Copy {
			of, err := versionlog.CopiedFrom(r)
			if err == nil && len(copies) == batch {
				err = flush()
			}
			copies, next = append(copies, copied{of, lsn}), lsn+versionlog.LSN(size)
			return err
		}
		if r.Kind() != record.Op {
			return nil
		}
		at, err := n.orderOf(r.Header().Subgroup)
		if err != nil {
			return errs.Wrap(errs.Corrupt, err, "log record at %d", lsn)
		}
		if at != o || len(recs) == batch {
			if err := flush(); err != nil {
				return err
			}
			o = at
		}
		lsns, recs = append(lsns, lsn), append(recs, append(record.Record(nil), r...))
		next = lsn + versionlog.LSN(size)
		return nil
	})
	if err == nil {
		err = flush()
	}
	return err
}

func (n *Node) born() hlc.Timestamp { return hlc.Timestamp(n.bornAt.Load()) }
