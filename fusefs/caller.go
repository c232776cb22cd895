package fusefs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// killPoll is how often a caller that was interrupted is asked whether it is being killed. The kernel tells of
// the first signal only, and most are not deadly (the Go runtime sends itself SIGURG all day).
const killPoll = 50 * time.Millisecond

// patience returns a context for a request that may wait. It ends when the caller is being killed or the mount
// goes away, and only then: a call on a file that returns EINTR for a mere SIGCHLD breaks programs. Whoever is
// killed does not see the answer, so it may stop waiting even where the operation happens afterwards.
func (f *filesystem) patience(cancel <-chan struct{}, thread uint32) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(f.ctx)
	if cancel == nil {
		return ctx, stop
	}
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-cancel:
		}
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
	}()
	return ctx, stop
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
