package fusefs

import (
	"sync"

	"dfs/errs"
)

// handle is one open file or directory.
type handle struct {
	n     *node
	flags uint32     // of open(2)
	dir   *dirStream // directories

	mu     sync.Mutex
	failed errs.Kind // the first write that went wrong since somebody was told (U7)
	dirty  bool      // something was written since the last close mark
}

// fail notes that a write through the handle went wrong after it was answered.
func (h *handle) fail(k errs.Kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == errs.OK {
		h.failed = k
	}
}

// takeError returns what went wrong since it was last asked.
func (h *handle) takeError() errs.Kind {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.failed
	h.failed = errs.OK
	return k
}

func (h *handle) setDirty() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirty = true
}

func (h *handle) isDirty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dirty
}

// takeDirty says whether something was written since it was last asked.
func (h *handle) takeDirty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.dirty
	h.dirty = false
	return d
}

// handleTable numbers the handles.
type handleTable struct {
	mu   sync.RWMutex
	all  map[uint64]*handle
	next uint64
}

func newHandleTable() *handleTable { return &handleTable{all: map[uint64]*handle{}, next: 1} }

func (t *handleTable) add(h *handle) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	fh := t.next
	t.next++
	t.all[fh] = h
	return fh
}

// get returns the handle of a number, or nil. The kernel sends no number that it was not given; others do.
func (t *handleTable) get(fh uint64) *handle {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.all[fh]
}

func (t *handleTable) remove(fh uint64) *handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.all[fh]
	delete(t.all, fh)
	return h
}

func (t *handleTable) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.all)
}
