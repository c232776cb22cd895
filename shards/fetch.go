package shards

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// Fetching brings a log up to the end of another's: between two views, or with a view that goes on without
// this node. The fetcher asks for a piece after the last version it has; the source answers with the records as
// it has them, with their data or without. What this node is to keep of data it gets afterwards (see fill.go).
//
//	request  number u64 | order u16 | after u64
//	reply    number u64 | order u16 | after u64 | kind u8 | records, or the version to cut to u64
//
// The number is that of the ballot whose source answers when its own log is complete; 0 is answered by a member of an
// open view with what it has. There is one request on its way at a time, so the fetcher's speed bounds the source. A
// reply that is not to the present request is ignored: a node may have lost the end of its log since it asked.
//
// A log may end in operations that nobody else has and that were persisted nowhere else: their node was away when all
// others started again. The source then names the last version that both have, and the fetcher stops with a
// CutError.

// The kinds of replies.
const (
	replyMore = 0 // there is more to ask for
	replyLast = 1 // that was all
	replyCut  = 2 // the fetcher's log does not belong to the order beyond a version
)

// CutError is why a node stops whose log must be cut after a version before it starts again.
type CutError struct{ After ids.Version }

func (e *CutError) Error() string {
	return fmt.Sprintf("operations after version %v were lost by all other nodes; the log is to be cut there", e.After)
}

// piece is about how many bytes of records a reply carries.
const piece = 1 << 20

const fetchHead = 8 + 2 + 8
const replyHead = fetchHead + 1

// fetch is what this node is getting.
type fetch struct {
	number uint64
	source ids.NodeID
	order  int  // the order being fetched; those before are complete
	ahead  bool // this is to catch up with a view that goes on
}

// fetchPlace is where in the log a peer's next request goes on.
type fetchPlace struct {
	order int
	after ids.Version
	lsn   versionlog.LSN // of the first record behind
}

// fetchRequest is what a peer wants to get.
type fetchRequest struct {
	peer   ids.NodeID
	number uint64
	order  int
	after  ids.Version
}

func (n *Node) startFetch(source ids.NodeID, number uint64, ahead bool, layouts [][]ids.NodeID) {
	n.aims, n.fill = newHomes(layouts, n.cfg.Shards, n.cfg.Replicas), nil
	n.fetching = &fetch{number: number, source: source, ahead: ahead}
	n.log.Info("fetching what the log lacks", "source", source, "catching up", ahead)
	if source == n.cfg.Self.Node {
		f := n.fetching
		f.order = len(n.orders) // only data lacks
		n.startFill(n.aims, true, func() { n.fetched(f) })
		return
	}
	n.askNext()
}

func (n *Node) askNext() {
	f := n.fetching
	le := binary.LittleEndian
	msg := le.AppendUint64([]byte{forFetch}, f.number)
	msg = le.AppendUint16(msg, uint16(f.order))
	msg = le.AppendUint64(msg, uint64(n.orders[f.order].last))
	n.fab.Send(f.source, msg)
}

func (n *Node) onFetch(from ids.NodeID, b []byte) error {
	le := binary.LittleEndian
	if len(b) != fetchHead || int(le.Uint16(b[8:])) >= len(n.orders) {
		return errs.New(errs.Corrupt, "fetch request of %d bytes makes no sense", len(b))
	}
	n.asked = slices.DeleteFunc(n.asked, func(q fetchRequest) bool { return q.peer == from }) // it has given that up
	n.asked = append(n.asked, fetchRequest{
		peer: from, number: le.Uint64(b), order: int(le.Uint16(b[8:])), after: ids.Version(le.Uint64(b[10:])),
	})
	n.serveFetches()
	return nil
}

// serveFetches answers the requests that the log here is complete for, and drops those of older ballots.
func (n *Node) serveFetches() {
	kept := n.asked[:0]
	for _, q := range n.asked {
		switch ok, later := n.serves(q); {
		case ok:
			if err := n.serve(q); err != nil {
				n.log.Error("cannot serve the log", "peer", q.peer, "err", err)
			}
		case later:
			kept = append(kept, q)
		}
	}
	n.asked = kept
}

// serves reports whether a request can be answered, now or later.
func (n *Node) serves(q fetchRequest) (now, later bool) {
	if q.number != 0 {
		number, complete := n.core.Number()
		return q.number == number && complete, q.number >= number
	}
	// What another member has delivered comes here too, if only a moment later.
	v := n.view
	return v != nil && v.open && (q.after.View() < v.ID || q.after <= n.orders[q.order].last), true
}

// forgetFetches drops what a peer asked for over a link that is gone.
func (n *Node) forgetFetches(peer ids.NodeID) {
	delete(n.served, peer)
	n.asked = slices.DeleteFunc(n.asked, func(q fetchRequest) bool { return q.peer == peer })
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

func (n *Node) serve(q fetchRequest) error {
	le := binary.LittleEndian
	msg := le.AppendUint64([]byte{forReply}, q.number)
	msg = le.AppendUint16(msg, uint16(q.order))
	msg = le.AppendUint64(msg, uint64(q.after))
	msg = append(msg, replyLast)
	kind := &msg[firstByte+replyHead-1]
	o := n.orders[q.order]
	common := ids.Version(0) // the last version up to q.after that is here
	place, known := n.served[q.peer]
	if known = known && place.order == q.order && place.after == q.after; !known {
		place.lsn, common = n.cfg.Log.Locate(q.after)
	} else {
		common = q.after
	}
	delete(n.served, q.peer) // it is known where it goes on once it was sent something, not when its log is to be cut
	next := fetchPlace{order: q.order, after: q.after, lsn: place.lsn}
	err := n.cfg.Log.Scan(place.lsn, func(lsn versionlog.LSN, r record.Record) error {
		h := r.Header()
		if of, err := n.orderOf(h.Subgroup); h.Kind != record.Op || err != nil || of != o {
			return nil
		}
		if h.Version <= q.after {
			common = h.Version
			return nil
		}
		if common != q.after {
			return errEnough
		}
		if len(msg) > piece {
			*kind, next.lsn = replyMore, lsn
			return errEnough
		}
		msg = append(msg, r...)
		kind = &msg[firstByte+replyHead-1]
		next.after = h.Version
		next.lsn = lsn + versionlog.LSN(r.Size())
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if common != q.after {
		*kind = replyCut
		msg = le.AppendUint64(msg, uint64(common))
	} else {
		n.served[q.peer] = next
	}
	n.fab.Send(q.peer, msg)
	return nil
}

func (n *Node) onReply(from ids.NodeID, b []byte) error {
	le := binary.LittleEndian
	f := n.fetching
	if len(b) < replyHead {
		return errs.New(errs.Corrupt, "fetch reply of %d bytes", len(b))
	}
	if f == nil || f.order == len(n.orders) || f.source != from || le.Uint64(b) != f.number || int(le.Uint16(b[8:])) != f.order ||
		ids.Version(le.Uint64(b[10:])) != n.orders[f.order].last {
		return nil // of an attempt that is over
	}
	kind, b := b[replyHead-1], b[replyHead:]
	if kind == replyCut {
		return n.cut(f, b)
	}
	o := n.orders[f.order]
	recs, err := fetched(b, o.last)
	if err != nil {
		return err
	}
	for i, r := range recs {
		recs[i] = n.stored(&n.aims, r)
	}
	if len(recs) > 0 {
		if err := n.ingest(o, recs); err != nil {
			n.fail(err)
			return nil
		}
	}
	if kind == replyLast {
		f.order++
	}
	if f.order < len(n.orders) {
		n.askNext()
		return nil
	}
	n.startFill(n.aims, true, func() { n.fetched(f) })
	return nil
}

// fetched says that the log has what it lacked, and all data that this node is to keep.
func (n *Node) fetched(f *fetch) {
	if n.fetching != f {
		return
	}
	n.fetching = nil
	switch {
	case !n.syncNow():
	case f.ahead:
		n.carryOut(n.core.CaughtUp())
	default:
		n.carryOut(n.core.Finished(f.number))
		n.serveFetches()
	}
}

// cut stops this node, whose log goes on where nobody else's does.
func (n *Node) cut(f *fetch, b []byte) error {
	if len(b) != 8 {
		return errs.New(errs.Corrupt, "a request to cut the log of %d bytes", len(b))
	}
	after, o := ids.Version(binary.LittleEndian.Uint64(b)), n.orders[f.order]
	if after >= o.last || uint64(after) < o.durable.Load() {
		return errs.New(errs.Corrupt, "a request to cut the log after %v; it ends at %v and is durable everywhere up to %v",
			after, o.last, ids.Version(o.durable.Load()))
	}
	n.fail(&CutError{After: after})
	return nil
}

// fetched cuts a reply into verified records with versions that increase beyond after.
func fetched(b []byte, after ids.Version) ([]record.Record, error) {
	var recs []record.Record
	for len(b) > 0 {
		r, err := record.Parse(b)
		if err != nil {
			return nil, err
		}
		if err := r.VerifyData(); err != nil {
			return nil, err
		}
		h := r.Header()
		if h.Kind != record.Op || h.Version <= after {
			return nil, errs.New(errs.Corrupt, "fetched version %v after %v", h.Version, after)
		}
		after = h.Version
		recs, b = append(recs, r), b[len(r):]
	}
	return recs, nil
}
