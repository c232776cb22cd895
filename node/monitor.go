package node

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// napTime is below the 10 ms after which the monitor of the Go runtime takes away the processor of who waits in a
	// system call.
	napTime = 8 * time.Millisecond
	// napsInARow is how many naps follow each change.
	napsInARow = 12
	// lookPeriod is how often an idle node looks whether it still is.
	lookPeriod = 100 * time.Millisecond
)

// calmMonitor has somebody wait in a system call as long as changed returns another number from time to time, and
// does nothing while the node is idle.
//
// The monitor of the Go runtime (sysmon) sleeps when all goroutines wait, and whoever enters a system call then wakes
// it: it looks around every 20 µs for some milliseconds after that. A node whose operations each have it wait some
// times for the others is idle and busy again in such times, so each of its operations would pay for waking it and
// for a dozen looks, which was a quarter of all switches between threads. With one goroutine in a system call all the
// time, which costs one of the threads that spreadReaders adds, the monitor does not sleep so, and looks every 10 ms.
func calmMonitor(ctx context.Context, changed func() uint64, nap func()) {
	look := time.NewTicker(lookPeriod)
	defer look.Stop()
	for last := changed(); ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		for next := changed(); next != last && ctx.Err() == nil; next = changed() {
			last = next
			for range napsInARow {
				nap()
			}
		}
	}
}

// nap waits in a system call, not in the scheduler, and then goes through the scheduler: the monitor takes the
// processor of those too who stay on it for long without that.
func nap() {
	t := unix.NsecToTimespec(int64(napTime))
	_ = unix.Nanosleep(&t, nil)
	runtime.Gosched()
}
