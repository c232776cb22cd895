package node

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Naps are taken while something changes, and end soon after the last change.
func TestCalmMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var naps, number atomic.Uint64
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			calmMonitor(ctx, number.Load, func() {
				naps.Add(1)
				<-time.After(napTime)
			})
		}()
		wait := func(d time.Duration) (during uint64) {
			before := naps.Load()
			<-time.After(d)
			synctest.Wait()
			return naps.Load() - before
		}
		if n := wait(time.Second); n != 0 {
			t.Errorf("%d naps while nothing changed", n)
		}
		number.Add(1)
		if n := wait(time.Second); n != napsInARow {
			t.Errorf("%d naps after one change, want %d", n, napsInARow)
		}
		for range 20 {
			number.Add(1)
			wait(50 * time.Millisecond)
		}
		if n := naps.Load() - napsInARow; n < 100 {
			t.Errorf("%d naps in a second of changes", n)
		}
		wait(time.Second)
		if n := wait(time.Second); n != 0 {
			t.Errorf("%d naps long after the last change", n)
		}
		stop()
		<-ended
	})
}
