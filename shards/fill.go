package shards

import (
	"encoding/binary"
	"slices"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// Filling brings data to a node that is to keep it and has the records without it: because it was away, or came, or
// another one went. It goes through the log from the first place where something may be lacking, in batches; the parts
// of a batch are asked for at those who should have them, what does not come at others, and so on:
//
//	request  number u64 | versions u64...
//	reply    number u64 | records with those versions, as many as there are
//
// What comes is verified by the sums that are here, and appended as copies. One batch is on its way at a time.
const (
	batchBytes   = 1 << 20  // of data in a batch, or one record more
	batchRecords = 512      // in a batch
	scanBytes    = 64 << 20 // of the log, at most, for a batch
	fillPatience = 2 * time.Second
	fillAllowed  = 4 // batches between two ticks while a view is open
)

type filling struct {
	homes  homes
	want   []bool // by subgroup
	hasty  bool   // there is no view that it should leave room for
	done   func() // once nothing lacks
	number uint64 // of the batch's last requests

	busy    bool // looking for the next batch
	batch   map[ids.Version]record.Record
	place   found
	round   int                 // how many sources were asked for each record of the batch
	waiting map[ids.NodeID]bool // sources asked
	asked   time.Duration
	allowed int
	warned  bool
}

// startFill gets what the log lacks of what homes say; done is called when it is there, durably or not.
func (n *Node) startFill(h homes, hasty bool, done func()) {
	f := &filling{homes: h, hasty: hasty, done: done, allowed: fillAllowed}
	for sub := range n.lacks {
		f.want = append(f.want, h.keeps(n.cfg.Self.Node, ids.Subgroup(sub)))
	}
	n.fill = f
	n.fillMore()
}

// fillMore looks for the next batch.
func (n *Node) fillMore() {
	f := n.fill
	if f == nil || f.busy || len(f.batch) > 0 {
		return
	}
	from, ok := n.firstLack(f.want)
	if !ok {
		n.fill = nil
		f.done()
		return
	}
	if !f.hasty {
		if f.allowed == 0 {
			return
		}
		f.allowed--
	}
	f.busy = true
	n.cfg.Work(func() {
		place := n.findLacking(from, f.want)
		n.post(event{kind: lackFound, fill: f, found: place})
	})
}

func (n *Node) onLackFound(f *filling, place found) {
	if n.fill != f {
		return
	}
	if f.busy = false; place.err != nil {
		n.warnFill("looking for data that is not here", place.err)
		return // again when time passes
	}
	f.place, f.batch, f.round = place, make(map[ids.Version]record.Record, len(place.records)), 0
	for _, head := range place.records {
		f.batch[head.Header().Version] = head
	}
	if len(f.batch) == 0 {
		n.filledBatch()
		return
	}
	n.askFill()
}

// askFill asks the next source of each record of the batch.
func (n *Node) askFill() {
	f := n.fill
	f.waiting, f.asked = map[ids.NodeID]bool{}, n.cfg.Monotonic()
	n.fillNumber++
	f.number = n.fillNumber
	msgs := map[ids.NodeID][]byte{}
	sources := make([][]ids.NodeID, len(n.lacks))
	for _, head := range f.place.records {
		h := head.Header()
		if f.batch[h.Version] == nil {
			continue
		}
		if sources[h.Subgroup] == nil {
			sources[h.Subgroup] = n.sources(h.Subgroup)
		}
		if s := sources[h.Subgroup]; f.round < len(s) {
			p := s[f.round]
			if msgs[p] == nil {
				msgs[p] = binary.LittleEndian.AppendUint64([]byte{forFill}, f.number)
			}
			msgs[p] = binary.LittleEndian.AppendUint64(msgs[p], uint64(h.Version))
		}
	}
	if len(msgs) == 0 {
		f.round = -1 // all were asked; from the first again when time passes
		n.warnFill("data is with none of the nodes that there are links to", nil)
		return
	}
	for _, p := range n.core.Connected() {
		if msg := msgs[p]; msg != nil {
			f.waiting[p] = true
			n.fab.Send(p, msg)
		}
	}
}

func (n *Node) warnFill(what string, err error) {
	if f := n.fill; !f.warned {
		f.warned = true
		n.log.Warn("waiting to get data: "+what, "err", err, "links", n.core.Connected())
	}
}

// sources returns the nodes to ask for data of a shard: those that should have it, in an order of its own for each shard,
// then all others that there are links to.
func (n *Node) sources(sub ids.Subgroup) []ids.NodeID {
	var first, then []ids.NodeID
	for _, p := range n.core.Connected() {
		switch {
		case p == n.cfg.Self.Node:
		case n.aims.keeps(p, sub) || n.homes.keeps(p, sub):
			first = append(first, p)
		default:
			then = append(then, p)
		}
	}
	slices.SortFunc(first, func(a, b ids.NodeID) int {
		if weight(a, sub) > weight(b, sub) {
			return -1
		}
		return 1
	})
	return append(first, then...)
}

// onFilled appends what came of a batch.
func (n *Node) onFilled(from ids.NodeID, b []byte) error {
	if len(b) < 8 {
		return errs.New(errs.Corrupt, "data of %d bytes makes no sense", len(b))
	}
	f := n.fill
	if f == nil || binary.LittleEndian.Uint64(b) != f.number || !f.waiting[from] {
		return nil
	}
	copies, err := copies(f.batch, b[8:])
	if len(copies) > 0 {
		if failed := n.appendCopies(copies); failed != nil {
			if errs.KindOf(failed) != errs.NoSpace {
				n.fail(failed)
				return nil
			}
			n.warnFill("the log is full", failed)
			clear(f.waiting)
			f.round = -1
			return nil
		}
	}
	for _, c := range copies {
		delete(f.batch, c.Header().Version)
	}
	n.filledBy(from)
	return err
}

// copies makes records to be appended of those of a batch that came.
func copies(batch map[ids.Version]record.Record, b []byte) (out []record.Record, err error) {
	for len(b) > 0 {
		r, err := record.Parse(b)
		if err != nil {
			return out, err
		}
		b = b[len(r):]
		h := r.Header()
		head := batch[h.Version]
		if head == nil || r.Hollow() || h.Kind != record.Op && h.Kind != record.Copy ||
			slices.ContainsFunc(out, func(c record.Record) bool { return c.Header().Version == h.Version }) {
			return out, errs.New(errs.Corrupt, "version %v came, which is not wanted", h.Version)
		}
		c, err := versionlog.CopyOf(head, r.Data())
		if err != nil {
			return out, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (n *Node) appendCopies(recs []record.Record) error {
	lsns, err := n.cfg.Log.Append(recs)
	if err != nil {
		return errs.Wrap(errs.KindOf(err), err, "appending data to the log")
	}
	all := make([]copied, len(recs))
	for i, r := range recs {
		of, err := versionlog.CopiedFrom(r)
		if err != nil {
			return err
		}
		all[i] = copied{of, lsns[i]}
	}
	n.filledEnd = n.cfg.Log.End()
	return n.noteCopies(all, n.filledEnd)
}

// filledBy notes that a source has nothing more of the batch to give.
func (n *Node) filledBy(from ids.NodeID) {
	f := n.fill
	if f == nil || !f.waiting[from] {
		return
	}
	delete(f.waiting, from)
	switch {
	case len(f.waiting) > 0:
	case len(f.batch) == 0:
		n.filledBatch()
	default:
		f.round++
		n.askFill()
	}
}

// filledBatch notes that nothing lacks up to the place where the batch ends.
func (n *Node) filledBatch() {
	f := n.fill
	f.warned = false
	if f.hasty {
		n.requestSync()
	}
	for sub := range n.lacks {
		l := &n.lacks[sub]
		switch {
		case !l.some || !f.want[sub]:
		case !f.place.more && l.last < f.place.next:
			*l = lack{}
		default:
			l.next, l.version = max(l.next, f.place.next), max(l.version, f.place.version)
		}
	}
	tx := n.cfg.Index.Begin()
	n.saveLacks(tx)
	if err := tx.Commit(); err != nil {
		n.fail(errs.Wrap(errs.KindOf(err), err, "committing to the index"))
		return
	}
	n.fillMore()
}

// tickFill goes on with what waits for time to pass.
func (n *Node) tickFill() {
	f := n.fill
	if f == nil {
		return
	}
	f.allowed = fillAllowed
	switch {
	case len(f.batch) == 0:
		n.fillMore()
	case len(f.waiting) == 0 || n.cfg.Monotonic()-f.asked > fillPatience:
		f.round++
		n.askFill()
	}
}

// fillInView gets in the background what the layouts of the view give this node and it lacks.
func (n *Node) fillInView(v *activeView) {
	n.fill = nil
	if n.whole = !n.lacksAny(&v.homes); n.whole {
		return
	}
	n.log.Info("getting data that this node is to keep", "view", v.ID)
	n.startFill(v.homes, false, n.filledView)
}

// filledView says, once what came is durable, that this node has all that the view gives it.
func (n *Node) filledView() {
	if n.durable >= n.filledEnd {
		n.whole = !n.lacksAny(&n.homes)
		if n.whole {
			n.log.Info("all data that this node is to keep is here")
		}
		return
	}
	n.wantWhole = true
	n.requestSync()
}
