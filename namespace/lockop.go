package namespace

import (
	"encoding/binary"
	"slices"

	"dfs/errs"
	"dfs/ids"
)

// SetLock takes a lock, in place of what the owner has in the range. If somebody else's lock stands in the way it is
// not taken; with Wait, the owner then waits for it in the table, and gets it when the way is free. Whether that has
// happened is found out by the same operation again. A Whole lock that the owner has of the other sort is given up
// first, as flock(2) does. Result: LockResult. Kinds: Deadlock, NoLocks.
type SetLock struct {
	Ino    ids.Ino // whether there is such a file does not matter
	Lock   Lock
	Wait   bool
	Ticket uint64 // tells what one owner waits for apart
	// Detect makes the wait part of the search for deadlocks: it is of a process, not of an open file.
	Detect bool
}

// Unlock gives up what an owner has of a family in a range. Result: none.
type Unlock struct {
	Ino        ids.Ino
	Owner      LockOwner
	Whole      bool
	Start, End uint64
}

// TestLock asks what stands in the way of a lock. Result: LockResult.
type TestLock struct {
	Ino  ids.Ino
	Lock Lock
}

// CancelLock ends the wait for a lock. Result: LockResult, Granted if there was no wait any more.
type CancelLock struct {
	Ino    ids.Ino
	Owner  LockOwner
	Ticket uint64
}

// ReleaseNode gives up all locks of a node's lives up to an incarnation, and ends their waits: that node has left, or
// has started anew. Result: none.
type ReleaseNode struct {
	Node        ids.NodeID
	Incarnation uint32
}

// LockResult is what SetLock, TestLock and CancelLock return.
type LockResult struct {
	Granted bool
	Waiting bool // SetLock: the owner waits in the table
	Holder  Lock // what stands in the way, unless Granted
}

func (r LockResult) encode() []byte {
	b := appendBool(appendBool(make([]byte, 0, 32), r.Granted), r.Waiting)
	return r.Holder.append(b, false)
}

// DecodeLockResult reads the result of SetLock, TestLock and CancelLock.
func DecodeLockResult(b []byte) (LockResult, error) {
	d := decoder{rest: b}
	r := LockResult{Granted: d.bool(), Waiting: d.bool()}
	r.Holder, _ = d.lock()
	return r, d.resultErr("lock", b)
}

// ChangesLocks says of an encoded operation whether it may end somebody's wait for a lock.
func ChangesLocks(op []byte) bool {
	return len(op) > 0 && code(op[0]) >= codeSetLock && code(op[0]) <= codeReleaseNode
}

// Encode returns the operation's bytes.
func (o SetLock) Encode() []byte {
	b := binary.AppendUvarint(append(make([]byte, 0, 64), byte(codeSetLock)), uint64(o.Ino))
	b = appendBool(o.Lock.append(b, o.Detect), o.Wait)
	return binary.AppendUvarint(b, o.Ticket)
}

// Encode returns the operation's bytes.
func (o Unlock) Encode() []byte {
	b := binary.AppendUvarint(append(make([]byte, 0, 64), byte(codeUnlock)), uint64(o.Ino))
	l := Lock{Owner: o.Owner, Whole: o.Whole, Start: o.Start, End: o.End}
	return l.append(b, false)
}

// Encode returns the operation's bytes.
func (o TestLock) Encode() []byte {
	return o.Lock.append(binary.AppendUvarint([]byte{byte(codeTestLock)}, uint64(o.Ino)), false)
}

// Encode returns the operation's bytes.
func (o CancelLock) Encode() []byte {
	return appendUvarints([]byte{byte(codeCancelLock)}, uint64(o.Ino),
		uint64(o.Owner.Node), uint64(o.Owner.Incarnation), o.Owner.ID, o.Ticket)
}

// Encode returns the operation's bytes.
func (o ReleaseNode) Encode() []byte {
	return appendUvarints([]byte{byte(codeReleaseNode)}, uint64(o.Node), uint64(o.Incarnation))
}

// lockOp takes an operation on locks.
func (d *decoder) lockOp(c code) Op {
	switch c {
	case codeSetLock:
		o := SetLock{Ino: d.ino()}
		o.Lock, o.Detect = d.lock()
		o.Wait, o.Ticket = d.bool(), d.uvarint()
		return o
	case codeUnlock:
		ino := d.ino()
		l, _ := d.lock()
		return Unlock{Ino: ino, Owner: l.Owner, Whole: l.Whole, Start: l.Start, End: l.End}
	case codeTestLock:
		o := TestLock{Ino: d.ino()}
		o.Lock, _ = d.lock()
		return o
	case codeCancelLock:
		return CancelLock{Ino: d.ino(), Owner: d.owner(), Ticket: d.uvarint()}
	case codeReleaseNode:
		return ReleaseNode{Node: ids.NodeID(d.uint32()), Incarnation: d.uint32()}
	}
	return nil
}

func (o SetLock) apply(c *change) (errs.Kind, []byte) {
	f := loadLocks(c.r, o.Ino)
	if o.Wait && f.waits(o.Lock.Owner, o.Ticket) >= 0 {
		return o.answer(f.find(&o.Lock), true)
	}
	changed := o.Lock.Whole && f.convert(&o.Lock)
	if changed {
		c.grant(o.Ino, &f)
	}
	holder := f.find(&o.Lock)
	switch {
	case holder != nil && !o.Wait:
	case len(f.held)+len(f.waiting) >= MaxLocks:
		return errs.NoLocks, nil
	case holder == nil:
		f.set(o.Lock)
		c.grant(o.Ino, &f) // less may be locked than before
		changed = true
	case o.Detect && c.deadlock(&f, &o.Lock):
		return errs.Deadlock, nil
	default:
		f.waiting = append(f.waiting, waiter{Lock: o.Lock, ticket: o.Ticket, detect: o.Detect})
		if o.Detect {
			c.put(waitKey(o.Lock.Owner, o.Ino), nil)
		}
		changed = true
	}
	if changed {
		c.saveLocks(o.Ino, &f)
	}
	return o.answer(holder, holder != nil && o.Wait)
}

func (o SetLock) answer(holder *Lock, waiting bool) (errs.Kind, []byte) {
	res := LockResult{Granted: holder == nil && !waiting, Waiting: waiting}
	if holder != nil {
		res.Holder = *holder
	}
	return errs.OK, res.encode()
}

// convert gives up the lock that an owner has of the other sort.
func (f *fileLocks) convert(l *Lock) bool {
	for i := range f.held {
		if h := &f.held[i]; h.Whole && h.Owner == l.Owner && h.Exclusive != l.Exclusive {
			f.held = slices.Delete(f.held, i, i+1)
			return true
		}
	}
	return false
}

// grant gives those who wait what they can have now, in the order in which they came.
func (c *change) grant(ino ids.Ino, f *fileLocks) {
	for i := 0; i < len(f.waiting); i++ {
		w := f.waiting[i]
		if f.find(&w.Lock) != nil {
			continue
		}
		c.endWait(ino, f, i)
		f.set(w.Lock)
		i = -1 // it may have given up more than it got
	}
}

// endWait removes a waiter.
func (c *change) endWait(ino ids.Ino, f *fileLocks, i int) {
	w := f.waiting[i]
	f.waiting = slices.Delete(f.waiting, i, i+1)
	others := slices.ContainsFunc(f.waiting, func(v waiter) bool { return v.detect && v.Owner == w.Owner })
	if w.detect && !others {
		c.delete(waitKey(w.Owner, ino))
	}
}

// saveLocks writes the locks of a file back.
func (c *change) saveLocks(ino ids.Ino, f *fileLocks) {
	if len(f.held)+len(f.waiting) == 0 {
		c.delete(lockKey(ino))
		return
	}
	c.put(lockKey(ino), f.encode())
}

// maxSearch bounds the search for a deadlock: a circle of more processes is not found.
const maxSearch = 4096

// deadlock says whether an owner who waits for l, with the locks of its file as in f, would wait for itself.
func (c *change) deadlock(f *fileLocks, l *Lock) bool {
	seen := map[LockOwner]bool{}
	var next []LockOwner
	inTheWay := func(f *fileLocks, l *Lock) {
		for i := range f.held {
			if h := &f.held[i]; h.conflicts(l) && !seen[h.Owner] {
				seen[h.Owner] = true
				next = append(next, h.Owner)
			}
		}
	}
	inTheWay(f, l)
	for i := 0; i < len(next) && i < maxSearch; i++ {
		if next[i] == l.Owner {
			return true
		}
		from := waitPrefix(next[i])
		c.r.Scan(from, append(slices.Clone(from), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), func(k, _ []byte) bool {
			locks := loadLocks(c.r, waitIno(k))
			for j := range locks.waiting {
				if w := &locks.waiting[j]; w.detect && w.Owner == next[i] {
					inTheWay(&locks, &w.Lock)
				}
			}
			return true
		})
	}
	return false
}

func (o Unlock) apply(c *change) (errs.Kind, []byte) {
	f := loadLocks(c.r, o.Ino)
	if f.clear(o.Owner, o.Whole, o.Start, o.End) {
		c.grant(o.Ino, &f)
		c.saveLocks(o.Ino, &f)
	}
	return errs.OK, nil
}

func (o TestLock) apply(c *change) (errs.Kind, []byte) {
	f := loadLocks(c.r, o.Ino)
	return SetLock{}.answer(f.find(&o.Lock), false)
}

func (o CancelLock) apply(c *change) (errs.Kind, []byte) {
	f := loadLocks(c.r, o.Ino)
	i := f.waits(o.Owner, o.Ticket)
	if i >= 0 {
		c.endWait(o.Ino, &f, i)
		c.saveLocks(o.Ino, &f)
	}
	return errs.OK, LockResult{Granted: i < 0}.encode()
}

func (o ReleaseNode) apply(c *change) (errs.Kind, []byte) {
	gone := func(owner LockOwner) bool { return owner.Node == o.Node && owner.Incarnation <= o.Incarnation }
	from, to := tableRange(tableLock)
	c.r.Scan(from, to, func(k, v []byte) bool {
		f, err := decodeLocks(v)
		if err != nil {
			panicf("T6: locks of inode %d: %v", keyIno(k), err)
		}
		all := len(f.held) + len(f.waiting)
		f.held = slices.DeleteFunc(f.held, func(h Lock) bool { return gone(h.Owner) })
		for i := len(f.waiting) - 1; i >= 0; i-- {
			if gone(f.waiting[i].Owner) {
				c.endWait(keyIno(k), &f, i)
			}
		}
		if len(f.held)+len(f.waiting) != all {
			c.grant(keyIno(k), &f)
			c.saveLocks(keyIno(k), &f)
		}
		return true
	})
	return errs.OK, nil
}
