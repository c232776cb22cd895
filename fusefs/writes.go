package fusefs

import (
	"context"
	"sync"
	"sync/atomic"

	"dfs/errs"
)

// pendingWrite is an operation on a file's contents that was answered but maybe not delivered yet.
type pendingWrite struct {
	call Call
	seq  uint64
	h    *handle
	done func(Result) // or nil; called when it was delivered
}

// writes are the pending writes of one inode, oldest first (U7). Everything else that asks for the inode's
// contents or attributes settles them first, so this node sees its own writes at once.
type writes struct {
	count atomic.Int32 // len(queue), so that the common case takes no lock

	mu    sync.Mutex
	queue []pendingWrite
	seq   uint64
}

// quiet says that nothing is pending.
func (w *writes) quiet() bool {
	if w.count.Load() == 0 {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reapLocked()
	return len(w.queue) == 0
}

// add notes a write that was submitted.
func (w *writes) add(p pendingWrite) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	p.seq = w.seq
	w.queue = append(w.queue, p)
	w.count.Store(int32(len(w.queue)))
}

// room waits until less than limit writes are pending.
func (w *writes) room(ctx context.Context, limit int) error {
	for {
		w.mu.Lock()
		if len(w.queue) >= limit {
			w.reapLocked()
		}
		if len(w.queue) < limit {
			w.mu.Unlock()
			return nil
		}
		oldest := w.queue[0].call
		w.mu.Unlock()
		if err := waitDelivered(ctx, oldest); err != nil {
			return err
		}
	}
}

// settle waits until the writes that are pending now are delivered. What went wrong with them is for the handles
// they were made through; the error is only that ctx ended.
func (w *writes) settle(ctx context.Context) error {
	if w.count.Load() == 0 {
		return nil
	}
	w.mu.Lock()
	upTo := w.seq
	w.mu.Unlock()
	for {
		w.mu.Lock()
		w.reapLocked()
		if len(w.queue) == 0 || w.queue[0].seq > upTo {
			w.mu.Unlock()
			return nil
		}
		last := 0 // one file's writes are delivered in order: waiting for the last is waking up once
		for i := range w.queue {
			if w.queue[i].seq <= upTo {
				last = i
			}
		}
		call := w.queue[last].call
		if call.Ready() {
			call = w.queue[0].call
		}
		w.mu.Unlock()
		if err := waitDelivered(ctx, call); err != nil {
			return err
		}
	}
}

// waitDelivered waits for a call whatever its result; the error is only that ctx ended.
func waitDelivered(ctx context.Context, c Call) error {
	if _, err := await(ctx, c); err != nil && ctx.Err() != nil && !c.Ready() {
		return errs.Wrap(errs.Interrupted, err, "waiting for earlier writes")
	}
	return nil
}

// reapLocked takes what was delivered off the front.
func (w *writes) reapLocked() {
	n := 0
	for n < len(w.queue) && w.queue[n].call.Ready() {
		w.queue[n].finish()
		n++
	}
	if n == 0 {
		return
	}
	left := copy(w.queue, w.queue[n:])
	clear(w.queue[left:])
	w.queue = w.queue[:left]
	w.count.Store(int32(left))
}

// finish takes a delivered write's result.
func (p *pendingWrite) finish() {
	res, err := p.call.Wait(context.Background())
	switch {
	case err != nil:
		p.h.fail(kindOf(err))
	case res.Kind != errs.OK:
		p.h.fail(res.Kind)
	case p.done != nil:
		p.done(res)
	}
}
