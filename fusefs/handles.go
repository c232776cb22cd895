package fusefs

import (
	"slices"
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
	run    runState  // of writes since the last close mark
	locked []uint64  // owners of locks that were asked for through the handle
}

// runState is how far a run of writes through a handle is.
type runState int

const (
	runNone  runState = iota // nothing was changed
	runEmpty                 // the file was only emptied: a shell does that, closes a copy of its descriptor, then writes
	runWrote
)

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

// changed notes that the run of writes got this far.
func (h *handle) changed(to runState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.run = max(h.run, to)
}

// progress returns how far the run of writes is.
func (h *handle) progress() runState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.run
}

// endRun ends the run of writes if it got at least this far, and says whether it did.
func (h *handle) endRun(least runState) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run < least {
		return false
	}
	h.run = runNone
	return true
}

// addLocker notes who asks for a lock through the handle.
func (h *handle) addLocker(owner uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.locked, owner) {
		h.locked = append(h.locked, owner)
	}
}

// takeLockers returns who asked for locks through the handle, once.
func (h *handle) takeLockers() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.locked
	h.locked = nil
	return all
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
