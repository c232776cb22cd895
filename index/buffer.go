package index

import "sync"

// buffer is a KV that keeps what was applied last in memory, and gives it to the store below in large ordered
// batches. Rows that change with every transaction (counters, marks, a busy directory) reach the store once a
// batch, and what came and went in between not at all; and a batch in order costs the store a fraction of what
// the same rows cost one by one.
//
//	Apply --> top --> draining --> low        each hides what lies below it
//
// Batches reach low in order, each in one step, so low holds a prefix of the transactions at any time (X2).
type buffer struct {
	low   KV
	limit int // bytes of top from which on it is drained

	mu       sync.Mutex
	drained  *sync.Cond // draining became nil, or err was set
	top      tree[held]
	size     int         // of top, about
	draining *tree[held] // being applied to low, not changed any more; nil if there is none
	err      error       // of a drain that failed; what it should have applied stays readable
}

// held is a row of the buffer.
type held struct {
	value   []byte
	deleted bool
	fresh   bool // nothing below shows the key, so that deleting it leaves nothing to remember
}

// heldCost is what a row takes in memory beside its key and its value, about.
const heldCost = 96

func newBuffer(low KV, limit int) *buffer {
	b := &buffer{low: low, limit: limit}
	b.drained = sync.NewCond(&b.mu)
	return b
}

// Err returns the error that ended the store.
func (b *buffer) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errLocked()
}

func (b *buffer) errLocked() error {
	if b.err != nil {
		return b.err
	}
	return b.low.Err()
}

// Apply makes all changes. It waits only if the store below takes longer for a batch than filling the next one.
func (b *buffer) Apply(changes []Change) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.size >= 2*b.limit && b.draining != nil && b.errLocked() == nil {
		b.drained.Wait()
	}
	if err := b.errLocked(); err != nil {
		return err
	}
	for i := range changes {
		b.hold(&changes[i])
	}
	if b.size >= b.limit && b.draining == nil {
		go b.drain(b.beginDrain())
	}
	return nil
}

// hold makes one change. b.mu is held.
func (b *buffer) hold(c *Change) {
	h, was := b.top.slot(c.Key)
	if !was {
		h.fresh = c.New
		b.size += heldCost + len(c.Key)
	}
	b.size += len(c.Value) - len(h.value)
	h.value, h.deleted = c.Value, c.Delete
	if h.deleted && h.fresh {
		b.top.delete(c.Key)
		b.size -= heldCost + len(c.Key)
	}
}

// beginDrain moves what top holds out of the way. b.mu is held, and nothing is draining.
func (b *buffer) beginDrain() *tree[held] {
	t := b.top
	b.draining, b.top, b.size = &t, tree[held]{}, 0
	return &t
}

// drain applies to low what beginDrain has returned.
func (b *buffer) drain(t *tree[held]) {
	changes := make([]Change, 0, t.count)
	t.each(func(key []byte, h held) {
		changes = append(changes, Change{Key: key, Value: h.value, Delete: h.deleted})
	})
	err := b.low.Apply(changes)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.err = err
	} else {
		b.draining = nil
	}
	b.drained.Broadcast()
}

// settle waits until nothing is draining. b.mu is held.
func (b *buffer) settle() error {
	for b.draining != nil && b.errLocked() == nil {
		b.drained.Wait()
	}
	return b.errLocked()
}

// Get returns the value of key.
func (b *buffer) Get(key []byte) ([]byte, bool, error) {
	b.mu.Lock()
	h, ok := b.top.get(key)
	if !ok && b.draining != nil {
		h, ok = b.draining.get(key)
	}
	b.mu.Unlock()
	if ok {
		return h.value, !h.deleted, nil
	}
	return b.low.Get(key) // has what was drained meanwhile, if anything
}

// Iter iterates over what lies in the buffer and below it. The lock keeps the next drain from beginning before
// low is looked at: until then low can only get what the iterator has from draining.
func (b *buffer) Iter(from, to []byte) (Iter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	it, err := b.low.Iter(from, to)
	if err != nil {
		return nil, err
	}
	if b.draining != nil {
		it = newOverIter(*b.draining, it, from, to)
	}
	if b.top.count > 0 {
		it = newOverIter(b.top.snapshot(), it, from, to)
	}
	return it, nil
}

// Flush makes everything applied so far durable.
func (b *buffer) Flush() error {
	b.mu.Lock()
	if err := b.settle(); err != nil {
		b.mu.Unlock()
		return err
	}
	t := b.beginDrain()
	b.mu.Unlock()
	b.drain(t)
	if err := b.Err(); err != nil {
		return err
	}
	return b.low.Flush()
}

// Close ends the use of the store, once the drain under way is over.
func (b *buffer) Close() error {
	b.mu.Lock()
	for b.draining != nil && b.err == nil {
		b.drained.Wait()
	}
	err := b.err
	b.mu.Unlock()
	if closed := b.low.Close(); err == nil {
		err = closed
	}
	return err
}
