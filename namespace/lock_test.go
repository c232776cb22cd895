package namespace

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// lockModel has the locks of one file, byte by byte: what each owner has of each of a few bytes.
type lockModel struct {
	held    map[LockOwner]*[2][modelBytes]byte // of fcntl, of flock; 0, shared, exclusive
	waiting []modelWaiter
}

type modelWaiter struct {
	SetLock
}

// modelBytes is the length of the file; everything from its last byte on is one.
const modelBytes = 12

func (m *lockModel) of(o LockOwner, whole bool) *[modelBytes]byte {
	if m.held[o] == nil {
		m.held[o] = &[2][modelBytes]byte{}
	}
	return &m.held[o][b2i(whole)]
}

func modelRange(start, end uint64) (from, to uint64) {
	return min(start, modelBytes-1), min(end, modelBytes-1) + 1
}

// free says whether nobody else has what a lock would conflict with.
func (m *lockModel) free(l Lock) bool {
	from, to := modelRange(l.Start, l.End)
	for o := range m.held {
		if o == l.Owner {
			continue
		}
		for _, sort := range m.of(o, l.Whole)[from:to] {
			if sort == 2 || sort == 1 && l.Exclusive {
				return false
			}
		}
	}
	return true
}

func (m *lockModel) fill(o LockOwner, whole bool, start, end uint64, sort byte) {
	from, to := modelRange(start, end)
	for i := from; i < to; i++ {
		m.of(o, whole)[i] = sort
	}
}

// grant serves those who wait until nobody can be served.
func (m *lockModel) grant() {
	for again := true; again; {
		again = false
		for i, w := range m.waiting {
			if m.free(w.Lock) {
				m.waiting = slices.Delete(m.waiting, i, i+1)
				m.fill(w.Lock.Owner, w.Lock.Whole, w.Lock.Start, w.Lock.End, byte(1+b2i(w.Lock.Exclusive)))
				again = true
				break
			}
		}
	}
}

func (m *lockModel) waits(o LockOwner, ticket uint64) int {
	return slices.IndexFunc(m.waiting, func(w modelWaiter) bool { return w.Lock.Owner == o && w.Ticket == ticket })
}

// apply returns whether a lock was granted, or is waited for.
func (m *lockModel) apply(op Op) (granted, waiting bool) {
	defer m.grant()
	switch op := op.(type) {
	case SetLock:
		return m.set(op)
	case Unlock:
		m.fill(op.Owner, op.Whole, op.Start, op.End, 0)
	case TestLock:
		return m.free(op.Lock), false
	case CancelLock:
		i := m.waits(op.Owner, op.Ticket)
		if i >= 0 {
			m.waiting = slices.Delete(m.waiting, i, i+1)
		}
		return i < 0, false
	case ReleaseNode:
		gone := func(o LockOwner) bool { return o.Node == op.Node && o.Incarnation <= op.Incarnation }
		m.waiting = slices.DeleteFunc(m.waiting, func(w modelWaiter) bool { return gone(w.Lock.Owner) })
		for o := range m.held {
			if gone(o) {
				delete(m.held, o)
			}
		}
	}
	return false, false
}

func (m *lockModel) set(op SetLock) (granted, waiting bool) {
	l := op.Lock
	sort := byte(1 + b2i(l.Exclusive))
	if op.Wait && m.waits(l.Owner, op.Ticket) >= 0 {
		return false, true
	}
	if had := m.of(l.Owner, true)[0]; l.Whole && had != 0 && had != sort {
		m.fill(l.Owner, true, 0, MaxLockEnd, 0)
		m.grant()
	}
	if m.free(l) {
		m.fill(l.Owner, l.Whole, l.Start, l.End, sort)
		return true, false
	}
	if op.Wait {
		m.waiting = append(m.waiting, modelWaiter{SetLock: op})
	}
	return false, op.Wait
}

// same compares what owners have.
func (m *lockModel) same(f fileLocks) error {
	got := lockModel{held: map[LockOwner]*[2][modelBytes]byte{}}
	for _, h := range f.held {
		got.fill(h.Owner, h.Whole, h.Start, h.End, byte(1+b2i(h.Exclusive)))
	}
	for _, all := range []map[LockOwner]*[2][modelBytes]byte{m.held, got.held} {
		for o := range all {
			for _, whole := range []bool{false, true} {
				if *got.of(o, whole) != *m.of(o, whole) {
					return fmt.Errorf("owner %v has %v, want %v", o, got.held[o], m.held[o])
				}
			}
		}
	}
	if len(f.waiting) != len(m.waiting) {
		return fmt.Errorf("%d wait, want %d", len(f.waiting), len(m.waiting))
	}
	for i, w := range f.waiting {
		if w.Lock != m.waiting[i].Lock || w.ticket != m.waiting[i].Ticket {
			return fmt.Errorf("waiter %d is %+v, want %+v", i, w, m.waiting[i])
		}
	}
	return nil
}

func randomLockOp(rng *rand.Rand) Op {
	owner := LockOwner{Node: ids.NodeID(1 + rng.IntN(2)), Incarnation: uint32(1 + rng.IntN(2)), ID: uint64(rng.IntN(2))}
	l := Lock{Owner: owner, Whole: rng.IntN(4) == 0, Exclusive: rng.IntN(2) == 0, PID: 7, End: MaxLockEnd}
	if !l.Whole {
		l.Start = rng.Uint64N(modelBytes)
		if end := l.Start + rng.Uint64N(modelBytes-l.Start); end < modelBytes-1 {
			l.End = end
		}
	}
	switch rng.IntN(12) {
	case 0:
		return TestLock{Ino: 5, Lock: l}
	case 1:
		return CancelLock{Ino: 5, Owner: owner, Ticket: rng.Uint64N(4)}
	case 2:
		return ReleaseNode{Node: owner.Node, Incarnation: owner.Incarnation}
	case 3, 4, 5:
		return Unlock{Ino: 5, Owner: owner, Whole: l.Whole, Start: l.Start, End: l.End}
	}
	return SetLock{Ino: 5, Lock: l, Wait: rng.IntN(2) == 0, Ticket: rng.Uint64N(4)}
}

// T7: random operations on the locks of a file answer what a model says that knows each byte. T1: a replica that
// commits many at once comes to the same.
func TestRandomLocks(t *testing.T) {
	seeds := int64(30)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		if *seedFlag >= 0 && *seedFlag != seed {
			continue
		}
		h := newHarness(t)
		m := &lockModel{held: map[LockOwner]*[2][modelBytes]byte{}}
		rng := rand.New(rand.NewPCG(uint64(seed), 5))
		replica := &replica{x: index.New(index.NewMem(), index.Config{})}
		root := h.must(Init{})
		replica.apply(t, h.now, Init{}, errs.OK, root)
		for i := range 300 {
			op := randomLockOp(rng)
			kind, body := h.do(op)
			replica.apply(t, h.now, op, kind, body)
			granted, waiting := m.apply(op)
			if res, err := DecodeLockResult(body); body != nil && (err != nil || res.Granted != granted || res.Waiting != waiting) {
				t.Fatalf("T7: seed %d, step %d: %T%+v: %+v, want granted %v, waiting %v", seed, i, op, op, res, granted, waiting)
			}
			if err := m.same(loadLocks(h.r(), 5)); err != nil {
				t.Fatalf("T7: seed %d, step %d: %T%+v: %v", seed, i, op, op, err)
			}
			h.check()
		}
		replica.commit(t)
		if a, b := LockDigest(h.r()), LockDigest(replica.x.At(ids.Namespace, h.now)); a != b {
			t.Fatalf("T1: seed %d: digests of locks %x and %x", seed, a, b)
		}
	}
}

func (h *harness) lock(op SetLock) (LockResult, errs.Kind) {
	h.t.Helper()
	kind, body := h.do(op)
	h.check()
	if kind != errs.OK {
		return LockResult{}, kind
	}
	res, err := DecodeLockResult(body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res, kind
}

// wait has process id of node 1 wait for an exclusive lock of a file.
func (h *harness) wait(id uint64, ino ids.Ino, detect bool) (LockResult, errs.Kind) {
	h.t.Helper()
	l := Lock{Owner: LockOwner{Node: 1 + ids.NodeID(id%3), Incarnation: 1, ID: id}, Exclusive: true, End: MaxLockEnd}
	return h.lock(SetLock{Ino: ino, Lock: l, Wait: true, Ticket: uint64(ino), Detect: detect})
}

// T7: a circle of processes on several nodes that would wait for each other is found, however long; one that an open
// file is part of is not looked for.
func TestDeadlock(t *testing.T) {
	for _, n := range []uint64{2, 3, 50} {
		h := start(t)
		for id := range n {
			if res, kind := h.wait(id, ids.Ino(100+id), true); !res.Granted {
				t.Fatal(res, kind)
			}
		}
		for id := range n - 1 {
			if res, kind := h.wait(id, ids.Ino(101+id), true); !res.Waiting {
				t.Fatal(res, kind)
			}
		}
		if res, kind := h.wait(n-1, 100, true); kind != errs.Deadlock {
			t.Fatalf("a circle of %d: %+v, %v", n, res, kind)
		}
		if res, kind := h.wait(n-1, 100, false); !res.Waiting {
			t.Fatalf("an open file: %+v, %v", res, kind)
		}
		if res, _ := h.wait(n, 100, true); !res.Waiting {
			t.Fatalf("one who is in no circle: %+v", res)
		}
	}
}

// T7: locks cost the same however often they change, and have no past.
func TestLocksHaveNoPast(t *testing.T) {
	h := start(t)
	o := LockOwner{Node: 1, Incarnation: 1, ID: 1}
	rows := func() (n int) {
		for _, k := range [][]byte{lockKey(9), waitKey(o, 9)} {
			h.x.History(ids.Namespace, k, func(hlc.Timestamp, []byte, bool) bool { n++; return true })
		}
		return n
	}
	for range 100 {
		h.must(SetLock{Ino: 9, Lock: Lock{Owner: o, End: MaxLockEnd}})
		if rows() != 1 {
			t.Fatalf("%d records", rows())
		}
		h.must(Unlock{Ino: 9, Owner: o, End: MaxLockEnd})
		if rows() != 0 {
			t.Fatalf("%d records are left", rows())
		}
	}
}

// The number of locks of a file is bounded.
func TestTooManyLocks(t *testing.T) {
	h := start(t)
	o := LockOwner{Node: 1, Incarnation: 1, ID: 1}
	f := fileLocks{}
	for i := range uint64(MaxLocks) {
		f.insert(Lock{Owner: o, Start: 2 * i, End: 2 * i})
	}
	tx := h.x.Begin()
	tx.Writer(ids.Namespace, h.now).PutPassing(lockKey(9), f.encode())
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, kind := h.lock(SetLock{Ino: 9, Lock: Lock{Owner: o, Start: 1 << 20, End: 1 << 20}}); kind != errs.NoLocks {
		t.Fatal(kind)
	}
	h.must(Unlock{Ino: 9, Owner: o, End: 1})
	if res, kind := h.lock(SetLock{Ino: 9, Lock: Lock{Owner: o, Start: 1 << 20, End: 1 << 20}}); !res.Granted {
		t.Fatal(kind)
	}
}

// T6: records of locks decode to what was written, and other bytes do no harm.
func FuzzLocks(f *testing.F) {
	l := Lock{Owner: LockOwner{1, 2, 3}, Start: 4, End: 50, PID: 6, Exclusive: true}
	some := fileLocks{held: []Lock{l, {Owner: l.Owner, Whole: true, End: MaxLockEnd}}, waiting: []waiter{{l, 9, true}}}
	f.Add(some.encode())
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		locks, err := decodeLocks(b)
		if err != nil {
			return
		}
		if again, err := decodeLocks(locks.encode()); err != nil || !bytes.Equal(again.encode(), locks.encode()) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func BenchmarkLock(b *testing.B) {
	h := start(b)
	o := LockOwner{Node: 1, Incarnation: 1, ID: 1}
	ops := [][]byte{
		SetLock{Ino: 9, Lock: Lock{Owner: o, Exclusive: true, Start: 5, End: 9}}.Encode(),
		Unlock{Ino: 9, Owner: o, End: MaxLockEnd}.Encode(),
	}
	for i := 0; b.Loop(); i++ {
		if kind, _ := h.apply(ops[i%2]); kind != errs.OK {
			b.Fatal(kind)
		}
	}
}
