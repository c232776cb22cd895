package shards

import (
	"encoding/binary"
	"errors"
	"slices"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// Fetching brings a log up to the end of another's between two views. The fetcher asks for a piece
// after the last version it has; the source answers with whole records, when its own log is complete.
//
//	request  number u64 | order u16 | after u64
//	reply    number u64 | order u16 | after u64 | last u8 | records
//
// There is one request on its way at a time, so the fetcher's speed bounds the source. A reply that is not to
// the present request is ignored: proposals are numbered anew in each life of their leader, and a node may
// have lost the end of its log since it asked.

// piece is about how many bytes of records a reply carries.
const piece = 1 << 20

const fetchHead = 8 + 2 + 8
const replyHead = fetchHead + 1

// fetch is what this node is getting.
type fetch struct {
	number uint64
	source ids.NodeID
	order  int // the order being fetched; those before are complete
}

// fetchRequest is what a peer wants to get.
type fetchRequest struct {
	peer   ids.NodeID
	number uint64
	order  int
	after  ids.Version
}

func (n *Node) startFetch(source ids.NodeID, number uint64) {
	n.fetching = &fetch{number: number, source: source}
	n.log.Info("fetching what the log lacks", "source", source)
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
	n.asked = append(n.asked, fetchRequest{
		peer: from, number: le.Uint64(b), order: int(le.Uint16(b[8:])), after: ids.Version(le.Uint64(b[10:])),
	})
	n.serveFetches()
	return nil
}

// serveFetches answers the requests that the log here is complete for, and drops those of older plans.
func (n *Node) serveFetches() {
	number, complete := n.core.Number()
	kept := n.asked[:0]
	for _, q := range n.asked {
		switch {
		case q.number == number && complete:
			if err := n.serve(q); err != nil {
				n.log.Error("cannot serve the log", "peer", q.peer, "err", err)
			}
		case q.number >= number:
			kept = append(kept, q)
		}
	}
	n.asked = kept
}

// forgetFetches drops what a peer asked for over a link that is gone.
func (n *Node) forgetFetches(peer ids.NodeID) {
	n.asked = slices.DeleteFunc(n.asked, func(q fetchRequest) bool { return q.peer == peer })
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

func (n *Node) serve(q fetchRequest) error {
	le := binary.LittleEndian
	msg := le.AppendUint64([]byte{forReply}, q.number)
	msg = le.AppendUint16(msg, uint16(q.order))
	msg = le.AppendUint64(msg, uint64(q.after))
	msg = append(msg, 1)
	o := n.orders[q.order]
	if q.after < o.last {
		err := n.cfg.Log.Scan(n.cfg.Log.Locate(q.after+1), func(_ versionlog.LSN, r record.Record) error {
			h := r.Header()
			if of, err := n.orderOf(h.Subgroup); h.Kind != record.Op || err != nil || of != o || h.Version <= q.after {
				return nil
			}
			if len(msg) > piece {
				msg[firstByte+replyHead-1] = 0
				return errEnough
			}
			msg = append(msg, r...)
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
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
	if f == nil || f.source != from || le.Uint64(b) != f.number || int(le.Uint16(b[8:])) != f.order ||
		ids.Version(le.Uint64(b[10:])) != n.orders[f.order].last {
		return nil // of an attempt that is over
	}
	o := n.orders[f.order]
	recs, err := fetched(b[replyHead:], o.last)
	if err != nil {
		return err
	}
	if len(recs) > 0 {
		if err := n.ingest(o, recs); err != nil {
			n.fail(err)
			return nil
		}
	}
	if last := b[replyHead-1] != 0; last {
		f.order++
	}
	if f.order < len(n.orders) {
		n.askNext()
		return nil
	}
	number := f.number
	n.fetching = nil
	if n.syncNow() {
		n.carryOut(n.core.Finished(number))
		n.serveFetches()
	}
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
