package index

import "sync"

// Mem is a KV in memory, for tests and simulation: the same calls give the same content and order.
type Mem struct {
	mu      sync.Mutex
	now     tree[[]byte]
	flushed tree[[]byte]
}

// NewMem returns an empty store.
func NewMem() *Mem { return new(Mem) }

// Get returns the value of key.
func (m *Mem) Get(key []byte) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.now.get(key)
	return v, ok, nil
}

// Iter iterates over a snapshot.
func (m *Mem) Iter(from, to []byte) (Iter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memIter{treeIter[[]byte]{tree: m.now.snapshot(), from: from, to: to}}, nil
}

// Apply makes all changes.
func (m *Mem) Apply(changes []Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.Delete {
			m.now.delete(c.Key)
		} else {
			m.now.set(c.Key, c.Value)
		}
	}
	return nil
}

// Flush remembers the content for Crash.
func (m *Mem) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushed = m.now.snapshot()
	return nil
}

// Crash returns a store with what was flushed last; m itself stays as it is.
func (m *Mem) Crash() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Mem{now: m.flushed.snapshot(), flushed: m.flushed.snapshot()}
}

// Len returns the number of keys, live and past.
func (m *Mem) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.count
}

// Close does nothing.
func (m *Mem) Close() error { return nil }

// Err returns nil.
func (m *Mem) Err() error { return nil }

type memIter struct{ treeIter[[]byte] }

func (i *memIter) Value() []byte { return i.val }
func (i *memIter) Close() error  { return nil }
