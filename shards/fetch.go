package shards

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// Fetching brings a log up to the end of another's: between two views, or with a view that goes on without
// this node. The fetcher asks for a piece after the last version it has, with the data of the shards that it is to keep;
// the source answers with the records as it has them, that data or none with them. What then lacks of data this node gets
// afterwards (see fill.go).
//
//	request  number u64 | order u16 | after u64 | a bit for each subgroup whose data is wanted
//	reply    number u64 | order u16 | after u64 | kind u8 | records, or the version to cut to u64
//
// The number is that of the ballot whose source answers when its own log is complete; 0 is answered by a member of an
// open view with what it has, and there all members are asked in turn. Sources read their logs beside their steps. There is
// one request on its way at a time, so the fetcher's speed bounds the sources. A reply that is not to the present request
// is ignored: a node may have lost the end of its log since it asked.
//
// What came is made durable beside. When that and the fetching took long, so that the others have done much meanwhile, who
// catches up goes on before it says that it has: what it lacks then is fetched while everyone waits.
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

const (
	fetchTurn     = 32                    // pieces from one source: it has to look for the place of the first one
	fetchSync     = 16                    // pieces that are made durable together
	fetchPatience = 2 * time.Second       // then another source is asked, if there is one
	fetchSoon     = 20 * time.Millisecond // who has caught up within that has
	fetchRounds   = 8                     // at most, before it says so though others write as fast as it fetches
)

// fetch is what this node is getting.
type fetch struct {
	number  uint64
	sources []ids.NodeID   // the first is asked
	pieces  int            // that it has sent
	asked   time.Duration  // when it was
	order   int            // the order being fetched; those before are complete
	ahead   bool           // this is to catch up with a view that goes on
	rounds  int            // of catching up
	began   time.Duration  // the last of them
	came    bool           // all has
	end     versionlog.LSN // of the log then
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
	wants  []byte // a bit for each subgroup
}

// wantsData reports whether the data of a subgroup is wanted.
func (q *fetchRequest) wantsData(sub ids.Subgroup) bool { return q.wants[sub/8]&(1<<(sub%8)) != 0 }

// startFetch begins a fetch from the first of the sources; they take turns.
func (n *Node) startFetch(sources []ids.NodeID, number uint64, ahead bool, layouts [][]ids.NodeID) {
	n.aims, n.fill = newHomes(layouts, n.cfg.Shards, n.cfg.Replicas), nil
	f := &fetch{number: number, sources: slices.Clone(sources), ahead: ahead, began: n.cfg.Monotonic()}
	n.fetching = f
	n.log.Info("fetching what the log lacks", "sources", sources, "catching up", ahead)
	if sources[0] == n.cfg.Self.Node {
		f.order = len(n.orders) // only data lacks
		n.startFill(n.aims, true, func() { n.fetchedAll(f) })
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
	wants := make([]byte, n.wantsBytes())
	for sub := range n.lacks {
		if n.aims.keeps(n.cfg.Self.Node, ids.Subgroup(sub)) {
			wants[sub/8] |= 1 << (sub % 8)
		}
	}
	f.asked = n.cfg.Monotonic()
	n.fab.Send(f.sources[0], append(msg, wants...))
}

func (n *Node) wantsBytes() int { return len(n.lacks)/8 + 1 }

// passOn has the next source asked, if there is another one.
func (n *Node) passOn() {
	f := n.fetching
	f.sources, f.pieces = append(f.sources[1:], f.sources[0]), 0
}

// tickFetch asks another source when one does not answer.
func (n *Node) tickFetch() {
	f := n.fetching
	if f != nil && f.order < len(n.orders) && len(f.sources) > 1 && n.cfg.Monotonic()-f.asked > fetchPatience {
		n.passOn()
		n.askNext()
	}
}

// lostFetchSource does without a source that there is no link to any more.
func (n *Node) lostFetchSource(peer ids.NodeID) {
	f := n.fetching
	if f == nil || len(f.sources) == 1 || !slices.Contains(f.sources, peer) {
		return // what becomes of the only one the membership decides
	}
	asked := f.sources[0] == peer
	f.sources = slices.DeleteFunc(f.sources, func(p ids.NodeID) bool { return p == peer })
	if f.pieces = 0; asked && f.order < len(n.orders) {
		n.askNext()
	}
}

func (n *Node) onFetch(from ids.NodeID, b []byte) error {
	le := binary.LittleEndian
	if len(b) != fetchHead+n.wantsBytes() || int(le.Uint16(b[8:])) >= len(n.orders) {
		return errs.New(errs.Corrupt, "fetch request of %d bytes makes no sense", len(b))
	}
	n.asked = slices.DeleteFunc(n.asked, func(q fetchRequest) bool { return q.peer == from }) // it has given that up
	n.asked = append(n.asked, fetchRequest{
		peer: from, number: le.Uint64(b), order: int(le.Uint16(b[8:])), after: ids.Version(le.Uint64(b[10:])),
		wants: slices.Clone(b[fetchHead:]),
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
			n.serve(q)
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

// serve answers a request, off the steps.
func (n *Node) serve(q fetchRequest) {
	place, known := n.served[q.peer]
	if known = known && place.order == q.order && place.after == q.after; !known {
		place = fetchPlace{order: q.order, after: q.after}
	}
	delete(n.served, q.peer) // it is known where it goes on once it was sent something, not when its log is to be cut
	n.cfg.Work(func() {
		msg, next, err := n.readPiece(q, place, known)
		if err != nil {
			n.log.Error("cannot serve the log", "peer", q.peer, "err", err)
			return
		}
		n.post(event{kind: answerMade, peer: q.peer, msg: msg, place: next})
	})
}

// readPiece makes the reply to a request, and says where the next one will go on; nil if the asker's log does not belong to
// the order. known says that the place is where the records after q.after begin.
func (n *Node) readPiece(q fetchRequest, place fetchPlace, known bool) ([]byte, *fetchPlace, error) {
	le := binary.LittleEndian
	msg := le.AppendUint64([]byte{forReply}, q.number)
	msg = le.AppendUint16(msg, uint16(q.order))
	msg = le.AppendUint64(msg, uint64(q.after))
	msg = append(msg, replyLast)
	const kind = firstByte + replyHead - 1
	common := q.after // the last version up to q.after that is here
	if !known {
		place.lsn, common = n.cfg.Log.Locate(q.after)
	}
	o, next := n.orders[q.order], place
	err := n.recordsFrom(place.lsn, func(lsn, end versionlog.LSN, r record.Record) error {
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
			msg[kind], next.lsn = replyMore, lsn
			return errEnough
		}
		next.after, next.lsn = h.Version, end
		if r.DataLen() > 0 && !r.Hollow() && !q.wantsData(h.Subgroup) {
			r = r.Hollowed()
		}
		msg = append(msg, r...)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, nil, err
	}
	if common != q.after {
		msg[kind] = replyCut
		msg = le.AppendUint64(msg, uint64(common))
		return msg, nil, nil
	}
	return msg, &next, nil
}

func (n *Node) onReply(from ids.NodeID, b []byte) error {
	le := binary.LittleEndian
	f := n.fetching
	if len(b) < replyHead {
		return errs.New(errs.Corrupt, "fetch reply of %d bytes", len(b))
	}
	if f == nil || f.order == len(n.orders) || f.sources[0] != from || le.Uint64(b) != f.number || int(le.Uint16(b[8:])) != f.order ||
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
	f.pieces++
	if kind == replyLast || f.pieces%fetchSync == 0 {
		n.requestSync() // little is left to do when all has come
	}
	if f.pieces == fetchTurn {
		n.passOn()
	}
	if kind == replyLast {
		f.order++
	}
	if f.order < len(n.orders) {
		n.askNext()
		return nil
	}
	n.startFill(n.aims, true, func() { n.fetchedAll(f) })
	return nil
}

// fetchedAll takes note that the log has what it lacked, and all data that this node is to keep.
func (n *Node) fetchedAll(f *fetch) {
	if n.fetching == f {
		f.came, f.end = true, n.cfg.Log.End()
		n.requestSync()
	}
}

// endFetch ends a fetch of which all has come, once that is durable.
func (n *Node) endFetch() {
	f := n.fetching
	if f == nil || !f.came {
		return
	}
	if n.durable < f.end {
		n.requestSync()
		return
	}
	if now := n.cfg.Monotonic(); f.ahead && now-f.began > fetchSoon && f.rounds < fetchRounds {
		f.rounds, f.began, f.order, f.came = f.rounds+1, now, 0, false
		n.askNext()
		return
	}
	n.fetching = nil
	if f.ahead {
		n.carryOut(n.core.CaughtUp())
		return
	}
	n.carryOut(n.core.Finished(f.number))
	n.serveFetches()
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
