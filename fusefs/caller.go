package fusefs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
)

// caller is the context of one request. It ends when the caller is being killed or the mount goes away, and only
// then: a call on a file that returns EINTR for a mere SIGCHLD breaks programs. Whoever is killed does not see the
// answer, so it may stop waiting even where the operation happens afterwards.
//
// The kernel tells of the first signal only, whatever it is. So the context ends with the first signal, which
// costs nothing to wait for, and whoever was waiting asks again whether to go on: then the context changes to one
// that watches the caller's thread.
type caller struct {
	f       *filesystem
	signal  <-chan struct{} // closed by the first signal
	thread  uint32
	unique  uint64                   // the kernel's number of the request
	patient atomic.Pointer[patience] // after the first signal
}

// patience is a context that ends when the caller is being killed.
type patience struct {
	context.Context
	stop context.CancelFunc
}

func (f *filesystem) caller(signal <-chan struct{}, h *fuse.InHeader) *caller {
	return &caller{f: f, signal: signal, thread: h.Pid, unique: h.Unique}
}

// end releases what the context needed.
func (c *caller) end() {
	if p := c.patient.Load(); p != nil {
		p.stop()
	}
}

// Deadline, Done, Err and Value make it a context.
func (c *caller) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the caller may be gone.
func (c *caller) Done() <-chan struct{} {
	if p := c.patient.Load(); p != nil {
		return p.Done()
	}
	return c.signal
}

// Err says whether Done is closed.
func (c *caller) Err() error {
	if p := c.patient.Load(); p != nil {
		return p.Err()
	}
	select {
	case <-c.signal:
		return context.Canceled
	default:
		return nil
	}
}

// Value returns nothing.
func (c *caller) Value(any) any { return nil }

// goOn says whether what was interrupted with err should be tried once more.
func goOn(ctx context.Context, err error) bool {
	c, ok := ctx.(*caller)
	if !ok || err == nil || c.patient.Load() != nil || kindOf(err) != errs.Interrupted {
		return false
	}
	p := &patience{}
	p.Context, p.stop = context.WithCancel(c.f.ctx)
	c.patient.Store(p)
	go watch(p, p.stop, c.thread)
	return true
}

// killPoll is how often a caller that got a signal is asked whether it is being killed.
const killPoll = 50 * time.Millisecond

// watch calls stop once the thread is being killed.
func watch(ctx context.Context, stop context.CancelFunc, thread uint32) {
	tick := time.NewTicker(killPoll)
	defer tick.Stop()
	for !killed(thread) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	stop()
}

// killed says whether a thread is about to die. A deadly signal makes SIGKILL pending for each thread of the
// process, whichever signal it was. Thread 0 is one that this process cannot see.
func killed(thread uint32) bool {
	if thread == 0 {
		return false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return os.IsNotExist(err)
	}
	return sigkillPending(status)
}

func sigkillPending(status []byte) bool {
	const sigkillBit = 1 << (9 - 1)
	for line := range bytes.Lines(status) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		if string(key) != "SigPnd" && string(key) != "ShdPnd" {
			continue
		}
		set, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		if err == nil && set&sigkillBit != 0 {
			return true
		}
	}
	return false
}

// process returns the process that a thread belongs to, or 0.
func process(thread uint32) uint32 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil || thread == 0 {
		return 0
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("Tgid:")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 32)
			return uint32(n)
		}
	}
	return 0
}
