package fabric

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Whatever was done before a ring is seen by work that begins after it, one goroutine works at a time, and
// after Stop nobody works.
func TestDoorbell(t *testing.T) {
	const ringers, each = 4, 20_000
	d := NewDoorbell()
	var made atomic.Int64
	var seen int64 // by those on duty, one after the other
	working := atomic.Bool{}
	all := make(chan struct{})
	work := func() bool {
		if !working.CompareAndSwap(false, true) {
			t.Error("two work at once")
		}
		before := seen
		if seen = made.Load(); seen == ringers*each && before < seen {
			close(all)
		}
		working.Store(false)
		return seen%7 == 1 && before < seen // sometimes there is more to do
	}
	var owner, rest sync.WaitGroup
	stop := make(chan struct{})
	owner.Go(func() {
		d.Work(work)
		for {
			select {
			case <-d.Duty():
				d.Work(work)
			case <-stop:
				d.Stop()
				return
			}
		}
	})
	for r := range ringers {
		rest.Go(func() {
			for i := range each {
				made.Add(1)
				if (i+r)%3 == 0 {
					d.Ring()
				} else {
					d.Answer(work, 2)
				}
			}
		})
	}
	rest.Wait()
	<-all
	close(stop)
	owner.Wait()
	seen = -1 // a race if anyone works yet
	d.Ring()
	d.Answer(work, 2)
	if seen != -1 {
		t.Error("work after Stop")
	}
}

// Stop takes duty over from one who is working, however often that one would, and from the channel.
func TestDoorbellStop(t *testing.T) {
	d := NewDoorbell()
	d.Work(func() bool { return false })
	d.Ring()
	d.Stop()
	for times := range 3 {
		d = NewDoorbell()
		d.Work(func() bool { return false })
		busy, release := make(chan struct{}), make(chan struct{})
		go d.Answer(func() bool { close(busy); <-release; return false }, times+1)
		<-busy
		stopped := make(chan struct{})
		go func() { d.Stop(); close(stopped) }()
		for d.rings.Load() == 1 {
			select {
			case <-stopped:
				t.Fatal("stopped while someone worked")
			default:
			}
		}
		close(release)
		<-stopped
	}
}

// One who is on duty for good sees each ring once.
func TestDoorbellRung(t *testing.T) {
	d := NewDoorbell()
	for i, want := range []bool{false, true, false, true} {
		if want {
			d.Ring()
			d.Answer(func() bool { t.Error("someone else worked"); return false }, 1)
		}
		if d.Rung() != want {
			t.Errorf("look %d: rung %v", i, !want)
		}
	}
}

func BenchmarkDoorbell(b *testing.B) {
	d := NewDoorbell()
	work := func() bool { return false }
	d.Work(work)
	b.ReportAllocs()
	for b.Loop() {
		d.Answer(work, 2)
	}
}
