package sim

import "time"

// suspicion draws how long trouble lasts that others may take for a death: a little less than it takes to be
// suspected, a little more, or much more.
func (f *faults) suspicion() time.Duration {
	margin := time.Duration(f.w.rng.Int64N(int64(2 * heartbeat)))
	return pick(f.w.rng, suspectAfter-margin, suspectAfter+margin, suspectAfter+heartbeat+margin, 3*suspectAfter+margin)
}

// clogFor holds up what from sends to to, for a while.
func (f *faults) clogFor(from, to *machine, d time.Duration) {
	if from == to || !f.w.net.Connected(from.id, to.id) {
		return
	}
	f.w.net.Clog(from.id, to.id)
	f.during(d, func() { f.w.net.Unclog(from.id, to.id) })
}

// isolate holds up what a machine sends, what it gets, or both.
func (f *faults) isolate(m *machine) {
	d, ways := f.suspicion(), 1+f.w.rng.IntN(3)
	for _, peer := range f.w.present() {
		if ways&1 != 0 {
			f.clogFor(m, peer, d)
		}
		if ways&2 != 0 {
			f.clogFor(peer, m, d)
		}
	}
}

// swizzle isolates some machines one after the other and lets them go in another order.
func (f *faults) swizzle() {
	for _, m := range f.w.present() {
		if f.w.rng.IntN(2) == 0 {
			f.w.after(about(f.w.rng, 2*heartbeat), func() {
				if f.on {
					f.isolate(m)
				}
			})
		}
	}
}

// flap breaks a link several times in a row.
func (f *faults) flap() {
	a, b := f.anyone(), f.anyone()
	for i := range 2 + f.w.rng.IntN(6) {
		f.w.after(time.Duration(i)*pick(f.w.rng, time.Millisecond, 20*time.Millisecond, heartbeat), func() {
			if f.on && f.w.net.Connected(a.id, b.id) {
				f.w.count.breaks++
				f.w.net.Break(a.id, b.id)
			}
		})
	}
}

// clockStep sets a clock as far as clocks may be off, or back to the right time.
func (f *faults) clockStep() { f.anyone().offset = pick(f.w.rng, -clockBound, 0, clockBound) }
