package shards

import (
	"encoding/binary"
	"errors"

	"dfs/errs"
	"dfs/fabric"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// A source answers from its log, off the steps, whatever view it is in.

// answerLater has a message sent to a peer when fn has made it.
func (n *Node) answerLater(to ids.NodeID, fn func() []byte) {
	n.cfg.Work(func() { n.post(event{kind: answerMade, peer: to, msg: fn()}) })
}

// fullRecord returns the record with a version, with its data, which may be in a copy.
func (n *Node) fullRecord(v ids.Version) (record.Record, error) {
	lsn, err := n.cfg.Log.Find(v)
	if err != nil {
		return nil, err
	}
	r, err := n.cfg.Log.Record(lsn)
	if err != nil || !r.Hollow() {
		return r, err
	}
	at, ok := n.copyHere(lsn)
	if !ok {
		return nil, &versionlog.HollowError{LSN: lsn}
	}
	return n.cfg.Log.Record(at)
}

// recordsFrom is Scan of the log, in which an operation whose data is damaged comes without it: who gets it looks for the data
// elsewhere. fn is also told where the next record is.
func (n *Node) recordsFrom(from versionlog.LSN, fn func(lsn, next versionlog.LSN, r record.Record) error) error {
	for {
		err := n.cfg.Log.Scan(from, func(lsn versionlog.LSN, r record.Record) error {
			return fn(lsn, lsn+versionlog.LSN(r.Size()), r)
		})
		var damage *versionlog.Damage
		if !errors.As(err, &damage) {
			return err
		}
		head, bad := n.cfg.Log.Head(damage.LSN)
		if bad != nil {
			return err
		}
		size, bad := record.PeekSize(head)
		if bad != nil {
			return err
		}
		from = damage.LSN + versionlog.LSN(size)
		if head.Kind() == record.Op {
			head = append(head, make([]byte, head.DataOffset()-len(head))...)
			if err := fn(damage.LSN, from, head.Hollowed()); err != nil {
				return err
			}
		}
	}
}

// onFillWanted sends the records of a batch that are here.
func (n *Node) onFillWanted(from ids.NodeID, b []byte) error {
	if len(b) < 16 || len(b)%8 != 0 || len(b)/8-1 > batchRecords+1 {
		return errs.New(errs.Corrupt, "request for data of %d bytes", len(b))
	}
	n.answerLater(from, func() []byte {
		msg := append([]byte{forFilled}, b[:8]...)
		for b := b[8:]; len(b) > 0; b = b[8:] {
			r, err := n.fullRecord(ids.Version(binary.LittleEndian.Uint64(b)))
			if err == nil && len(msg)+len(r) > fabric.MaxMessage {
				break // what it does not get it asks for again
			}
			if err == nil {
				msg = append(msg, r...)
			}
		}
		return msg
	})
	return nil
}

// onCopyWanted sends a copy of a record that is damaged elsewhere.
func (n *Node) onCopyWanted(from ids.NodeID, b []byte) error {
	if len(b) != 8 {
		return errs.New(errs.Corrupt, "request for a copy of %d bytes", len(b))
	}
	n.answerLater(from, func() []byte {
		msg := append([]byte{forCopied}, b...)
		if r, err := n.fullRecord(ids.Version(binary.LittleEndian.Uint64(b))); err == nil {
			msg = append(msg, r...)
		}
		return msg
	})
	return nil
}

const readHead = 8 + 8 + 4 + 4

// onReadWanted sends bytes of the data of a record, or none.
func (n *Node) onReadWanted(from ids.NodeID, b []byte) error {
	le := binary.LittleEndian
	if len(b) != readHead || le.Uint32(b[20:]) > unitBytes || le.Uint32(b[16:]) > record.MaxData {
		return errs.New(errs.Corrupt, "request to read of %d bytes makes no sense", len(b))
	}
	n.answerLater(from, func() []byte {
		msg := append([]byte{forRead}, b[:8]...)
		head := len(msg)
		msg = append(msg, make([]byte, le.Uint32(b[20:]))...)
		lsn, err := n.cfg.Log.Find(ids.Version(le.Uint64(b[8:])))
		if err == nil {
			err = n.readHere(lsn, int(le.Uint32(b[16:])), msg[head:])
		}
		if err != nil {
			msg = msg[:head]
		}
		return msg
	})
	return nil
}

// readHere reads data that is in this log, at the place of the record or in a copy.
func (n *Node) readHere(lsn versionlog.LSN, off int, p []byte) error {
	err := n.cfg.Log.ReadData(lsn, off, p)
	var hollow *versionlog.HollowError
	if errors.As(err, &hollow) {
		if at, ok := n.copyHere(lsn); ok {
			return n.cfg.Log.ReadData(at, off, p)
		}
	}
	return err
}
