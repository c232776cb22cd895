package fabric

import "sync/atomic"

// Doorbell decides which goroutine does the work of an owner when something happened: one at a time, always
// one that looks after the last ring, and if possible the one at hand. Waking another goroutine costs more
// than most steps do, above all on another processor; so whoever has nothing else to do uses Answer, and
// whoever is in a hurry uses Ring. The goroutine that works is said to be on duty.
//
// One goroutine, the owner's, waits for Duty. It takes over what Answer leaves.
type Doorbell struct {
	rings    atomic.Int64  // since the one on duty last looked; 0: nobody is on duty
	duty     chan struct{} // passes duty to the owner's goroutine
	stopping atomic.Bool   // set before a last ring: duty goes to the owner's goroutine
}

// NewDoorbell returns a doorbell with its maker on duty, who gives duty up by Work.
func NewDoorbell() *Doorbell {
	d := &Doorbell{duty: make(chan struct{}, 1)}
	d.rings.Store(1)
	return d
}

// Ring says that something happened, and leaves the work to others. It never waits.
func (d *Doorbell) Ring() {
	if d.rings.Add(1) == 1 {
		d.duty <- struct{}{} // has room: there is one duty
	}
}

// Answer says that something happened, and does the work if nobody is on duty: at most so many times, and
// what is left after that is the owner's.
func (d *Doorbell) Answer(work func() (again bool), times int) {
	if d.rings.Add(1) == 1 && !d.try(work, times) {
		d.duty <- struct{}{}
	}
}

// Duty is received from by the owner's goroutine, which is then on duty and must call Work or Stop.
func (d *Doorbell) Duty() <-chan struct{} { return d.duty }

// Work works until nothing is left and nobody has rung since, and ends the duty of the caller.
func (d *Doorbell) Work(work func() (again bool)) {
	for !d.try(work, 1<<30) {
	}
}

// Rung reports whether anyone rang since it was asked last. It is for one who is on duty for good and works
// at times of his own.
func (d *Doorbell) Rung() bool { return d.rings.Swap(1) > 1 }

// Stop waits until nobody else works, and nobody will ever again. It is for the owner's goroutine, which
// is not on duty.
func (d *Doorbell) Stop() {
	d.stopping.Store(true)
	if d.rings.Add(1) > 1 {
		<-d.duty
	}
}

// try works at most so many times. It reports whether that was all, and duty was given up.
func (d *Doorbell) try(work func() (again bool), times int) bool {
	for range times {
		seen := d.rings.Load()
		if d.stopping.Load() {
			return false
		}
		if !work() && d.rings.CompareAndSwap(seen, 0) {
			return true
		}
	}
	return false
}
