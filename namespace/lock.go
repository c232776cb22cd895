package namespace

import (
	"cmp"
	"encoding/binary"
	"slices"

	"dfs/errs"
	"dfs/ids"
	"dfs/index"
)

// MaxLockEnd is the end of a lock that reaches as far as a file may.
const MaxLockEnd = 1<<63 - 1

// MaxLocks is how many locks and waiters one file may have.
const MaxLocks = 4096

// LockOwner is who holds a lock: what the kernel of a node, in one of the node's lives, calls by a number. It is a
// process for fcntl(2), an open file for flock(2) and for OFD locks.
type LockOwner struct {
	Node        ids.NodeID
	Incarnation uint32
	ID          uint64
}

func (a LockOwner) compare(b LockOwner) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.ID, b.ID))
}

// Lock is a lock held or wanted on a range of a file.
type Lock struct {
	Owner      LockOwner
	Whole      bool   // of flock(2): the two families do not see each other, and the range is always everything
	Exclusive  bool   // nobody else may have any; otherwise others may share it
	Start, End uint64 // the first and the last byte
	PID        uint32 // the process that asked, for those who ask who has it
}

// conflicts says whether a and b cannot both be held.
func (a *Lock) conflicts(b *Lock) bool {
	return a.Whole == b.Whole && a.Owner != b.Owner && (a.Exclusive || b.Exclusive) && a.overlaps(b.Start, b.End)
}

func (a *Lock) overlaps(start, end uint64) bool { return a.Start <= end && start <= a.End }

// waiter is someone who waits for a lock.
type waiter struct {
	Lock
	ticket uint64
	detect bool // it is part of the search for deadlocks
}

// fileLocks are the locks of one file: its record.
type fileLocks struct {
	held    []Lock   // by Start, then owner
	waiting []waiter // in the order in which they came
}

func lockKey(ino ids.Ino) []byte { return inoKey(tableLock, ino, 0) }

// waitKey says that an owner waits for a lock of a file.
func waitKey(o LockOwner, ino ids.Ino) []byte {
	return binary.BigEndian.AppendUint64(waitPrefix(o), uint64(ino))
}

func waitPrefix(o LockOwner) []byte {
	k := append(make([]byte, 0, 25), tableWait)
	k = binary.BigEndian.AppendUint32(k, uint32(o.Node))
	k = binary.BigEndian.AppendUint32(k, o.Incarnation)
	return binary.BigEndian.AppendUint64(k, o.ID)
}

// waitIno returns the file in a key of waitKey.
func waitIno(key []byte) ids.Ino { return ids.Ino(binary.BigEndian.Uint64(key[17:])) }

// find returns the held lock that stands in the way of l with the least start, or nil.
func (f *fileLocks) find(l *Lock) *Lock {
	for i := range f.held {
		if f.held[i].conflicts(l) {
			return &f.held[i]
		}
	}
	return nil
}

// clear takes a range away from an owner's locks of a family, and says whether there was anything.
func (f *fileLocks) clear(o LockOwner, whole bool, start, end uint64) (changed bool) {
	var rest []Lock
	f.held = slices.DeleteFunc(f.held, func(h Lock) bool {
		if h.Owner != o || h.Whole != whole || !h.overlaps(start, end) {
			return false
		}
		changed = true
		if left := h; h.Start < start {
			left.End = start - 1
			rest = append(rest, left)
		}
		if right := h; h.End > end {
			right.Start = end + 1
			rest = append(rest, right)
		}
		return true
	})
	for _, h := range rest {
		f.insert(h)
	}
	return changed
}

// set makes l held; nothing conflicts with it. What the owner had there before is replaced, and l is joined with
// what it has of the same sort beside.
func (f *fileLocks) set(l Lock) {
	f.clear(l.Owner, l.Whole, l.Start, l.End)
	f.held = slices.DeleteFunc(f.held, func(h Lock) bool {
		if h.Owner != l.Owner || h.Whole != l.Whole || h.Exclusive != l.Exclusive {
			return false
		}
		switch {
		case l.Start > 0 && h.End == l.Start-1:
			l.Start = h.Start
		case h.Start > 0 && h.Start-1 == l.End:
			l.End = h.End
		default:
			return false
		}
		return true
	})
	f.insert(l)
}

func (f *fileLocks) insert(l Lock) {
	at, _ := slices.BinarySearchFunc(f.held, l, func(a, b Lock) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), a.Owner.compare(b.Owner), cmp.Compare(b2i(a.Whole), b2i(b.Whole)))
	})
	f.held = slices.Insert(f.held, at, l)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

const (
	lockExclusive = 1 << iota
	lockWhole
	lockDetect
	lockFlags = 1<<iota - 1
)

func (a *Lock) append(b []byte, detect bool) []byte {
	flags := byte(b2i(a.Exclusive)*lockExclusive | b2i(a.Whole)*lockWhole | b2i(detect)*lockDetect)
	b = appendUvarints(append(b, flags), uint64(a.Owner.Node), uint64(a.Owner.Incarnation), a.Owner.ID)
	return appendUvarints(b, a.Start, a.End-a.Start, uint64(a.PID))
}

// lock takes a lock; what cannot be one fails.
func (d *decoder) lock() (l Lock, detect bool) {
	flags := d.byte()
	l = Lock{Exclusive: flags&lockExclusive != 0, Whole: flags&lockWhole != 0, Owner: d.owner(), Start: d.uvarint()}
	length := d.uvarint()
	l.End, l.PID = l.Start+length, d.uint32()
	d.failed = d.failed || flags&^lockFlags != 0 || l.Start > MaxLockEnd || length > MaxLockEnd-l.Start ||
		l.Whole && (l.Start != 0 || l.End != MaxLockEnd)
	return l, flags&lockDetect != 0
}

func (d *decoder) owner() LockOwner {
	return LockOwner{Node: ids.NodeID(d.uint32()), Incarnation: d.uint32(), ID: d.uvarint()}
}

func (f *fileLocks) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 16+24*(len(f.held)+len(f.waiting))), uint64(len(f.held)))
	for i := range f.held {
		b = f.held[i].append(b, false)
	}
	b = binary.AppendUvarint(b, uint64(len(f.waiting)))
	for i := range f.waiting {
		b = binary.AppendUvarint(f.waiting[i].append(b, f.waiting[i].detect), f.waiting[i].ticket)
	}
	return b
}

// maxHeld bounds the locks in a record: giving up the middle of a range makes two of one.
const maxHeld = 4 * MaxLocks

func decodeLocks(b []byte) (f fileLocks, err error) {
	d := decoder{rest: b}
	f.held = make([]Lock, d.count(maxHeld))
	for i := range f.held {
		f.held[i], _ = d.lock()
	}
	f.waiting = make([]waiter, d.count(maxHeld))
	for i := range f.waiting {
		w := &f.waiting[i]
		w.Lock, w.detect = d.lock()
		w.ticket = d.uvarint()
	}
	if !d.done() {
		return fileLocks{}, errs.New(errs.Corrupt, "lock record of %d bytes cannot be read", len(b))
	}
	return f, nil
}

// loadLocks reads the locks of a file.
func loadLocks(r index.Reader, ino ids.Ino) fileLocks {
	v, ok := r.Get(lockKey(ino))
	if !ok {
		return fileLocks{}
	}
	f, err := decodeLocks(v)
	if err != nil {
		panicf("T6: locks of inode %d: %v", ino, err)
	}
	return f
}

// Waits says whether somebody is known to wait for a lock with a ticket. When the locks of the file have changed
// since the Reader's moment it may say no although he does.
func Waits(r index.Reader, ino ids.Ino, o LockOwner, ticket uint64) bool {
	f := loadLocks(r, ino)
	return f.waits(o, ticket) >= 0
}

// waits returns the place of a waiter, or -1.
func (f *fileLocks) waits(o LockOwner, ticket uint64) int {
	return slices.IndexFunc(f.waiting, func(w waiter) bool { return w.Owner == o && w.ticket == ticket })
}
