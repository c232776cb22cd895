package sim

import (
	"math/rand/v2"
	"time"

	"dfs/errs"
	"dfs/nvm"
)

// faults is what goes wrong in a run: some kinds of trouble, each at its own pace.
type faults struct {
	w    *world
	rng  *rand.Rand // of changes of the configured nodes
	on   bool
	kind []trouble
	// provoked is how often, of 8 times, a change of views makes for more trouble: that is when it hurts.
	provoked int
	points   points
	undo     []func() // ends what goes on for a while; each may be called twice
}

// during begins something that ends by itself after a while, or when everything is healed.
func (f *faults) during(d time.Duration, undo func()) {
	f.undo = append(f.undo, undo)
	f.w.after(d, undo)
}

// trouble is one kind of fault.
type trouble struct {
	what  string
	every time.Duration // about
	fn    func()
}

// newFaults draws which kinds a run has: seldom all of them, so that each is seen alone too.
func newFaults(w *world) *faults {
	f := &faults{w: w, rng: rand.New(rand.NewPCG(w.seed, 0xc0f)), provoked: pick(w.rng, 0, 1, 3, 6)}
	f.points.share = pick(w.rng, 0, 0, 100, 25, 8)
	all := []trouble{
		{"clog", 2 * time.Second, f.clog},
		{"break", 2 * time.Second, f.breakLink},
		{"cut", 2 * time.Second, f.cut},
		{"pause", 2 * time.Second, f.pause},
		{"isolate", 3 * time.Second, func() { f.isolate(f.anyone()) }},
		{"swizzle", 4 * time.Second, f.swizzle},
		{"flap", 3 * time.Second, f.flap},
		{"kill", 2 * time.Second, func() { f.crash(f.anyone(), false) }},
		{"power", 4 * time.Second, func() { f.crash(f.anyone(), true) }},
		{"kill all", 8 * time.Second, func() { f.crashAll(false) }},
		{"power all", 6 * time.Second, func() { f.crashAll(true) }},
		{"flush", 700 * time.Millisecond, func() { f.anyone().flushIndex() }},
		{"bad sync", 6 * time.Second, func() { f.badDisk(nvm.Persist) }},
		{"bad write", 6 * time.Second, func() { f.badDisk(nvm.Write) }},
		{"bad files", 6 * time.Second, f.badFiles},
		{"full", 4 * time.Second, f.full},
		{"clock", 3 * time.Second, f.clock},
		{"clock step", 4 * time.Second, f.clockStep},
		{"slow disk", 3 * time.Second, f.slowDisk},
	}
	rate := pick(w.rng, 1, 1, 2, 6)
	share := 1 + w.rng.IntN(4)
	for _, t := range all {
		if w.rng.IntN(4) < share {
			t.every /= time.Duration(rate)
			f.kind = append(f.kind, t)
		}
	}
	if w.spares > 0 {
		f.kind = append(f.kind, trouble{"join", time.Second, f.join}, trouble{"storm", 4 * time.Second, f.storm},
			trouble{"leave", 700 * time.Millisecond, f.leave}, trouble{"replace", 500 * time.Millisecond, f.replace})
	}
	if w.rots {
		f.kind = append(f.kind, trouble{"bit rot", 100 * time.Millisecond, f.bitRot})
	}
	return f
}

// begin starts the faults and returns when they end.
func (f *faults) begin() time.Duration {
	f.on = true
	for _, t := range f.kind {
		f.next(t)
	}
	return time.Second + time.Duration(f.w.rng.Int64N(int64(9*time.Second)))
}

func (f *faults) next(t trouble) {
	f.w.after(about(f.w.rng, t.every), func() {
		if f.on {
			f.w.note(0, t.what, 0, 0)
			t.fn()
			f.next(t)
		}
	})
}

// provoke makes trouble in the middle of a change of views.
func (f *faults) provoke() {
	if !f.on || f.w.rng.IntN(8) >= f.provoked {
		return
	}
	fn := pick(f.w.rng, f.breakLink, f.cut, f.clog, f.pause, f.full, f.slowDisk, f.flap, func() { f.isolate(f.anyone()) },
		func() { f.crash(f.anyone(), false) }, func() { f.crash(f.anyone(), true) }, func() { f.crashAll(f.w.rng.IntN(2) == 0) })
	f.w.after(about(f.w.rng, pick[time.Duration](f.w.rng, 1, 5, 20)*(f.w.delays.link+f.w.delays.wakeup)), func() {
		if f.on {
			f.w.note(0, "provoked", 0, 0)
			fn()
		}
	})
}

// end stops the faults and heals everything.
func (f *faults) end() {
	f.on = false
	f.w.delays.calm()
	for _, undo := range f.undo {
		undo()
	}
	for _, m := range f.w.present() {
		m.paused = 0
		m.offset = min(max(m.offset, -clockBound), clockBound)
		m.heal()
		if m.up() {
			m.stepBy(f.w.now())
		} else {
			m.start()
		}
	}
	if f.w.rng.IntN(4) == 0 {
		// The last trouble is one that no other covers up.
		f.badDisk(pick(f.w.rng, nvm.Persist, nvm.Write))
	}
}

func (f *faults) anyone() *machine { return pick(f.w.rng, f.w.present()...) }

// downtime is how long a process is down. A machine without power takes longer to come back, longer
// than clocks are wrong.
func (f *faults) downtime() time.Duration {
	return about(f.w.rng, pick(f.w.rng, 5*time.Millisecond, 300*time.Millisecond))
}

const boot = 2 * clockBound

// clockBound is how far a clock may be off, as the nodes check with each other.
const clockBound = 500 * time.Millisecond

func (f *faults) crash(m *machine, power bool) {
	if !m.up() && !power {
		return
	}
	m.crash(power)
	m.offset = f.w.delays.offset(f.w.rng)
	f.restart(m, power)
}

func (f *faults) restart(m *machine, power bool) {
	wait := f.downtime()
	if power {
		wait += boot
	}
	life, power0 := m.life, m.outages
	f.w.after(wait, func() {
		if m.life == life && m.outages == power0 {
			m.heal()
			if f.on && f.w.rng.IntN(6) == 0 {
				f.worsen(m, pick(f.w.rng, nvm.Open, nvm.List, nvm.Read, nvm.Create, nvm.Remove, nvm.Sync, nvm.Write, nvm.Persist))
			}
			m.start()
		}
	})
}

// crashAll takes all machines down, at once or one after the other.
func (f *faults) crashAll(power bool) {
	spread := pick(f.w.rng, 0, 0, 2*time.Millisecond, 200*time.Millisecond)
	for _, m := range f.w.present() {
		f.w.after(about(f.w.rng, spread), func() {
			if f.on {
				f.crash(m, power)
			}
		})
	}
}

// afterFailure restarts a process that gave up.
func (f *faults) afterFailure(m *machine) { f.crash(m, f.on && f.w.rng.IntN(3) == 0) }

// pause stops a machine for a while. The network may go on to write into its memory, as RDMA does, or not.
func (f *faults) pause() {
	f.stop(f.anyone(), about(f.w.rng, pick(f.w.rng, 10*time.Millisecond, 300*time.Millisecond, 2*time.Second)))
}

// stop pauses a machine.
func (f *faults) stop(m *machine, d time.Duration) {
	if f.w.rng.IntN(2) == 0 {
		f.w.net.Pause(m.id)
		f.during(d, func() { f.w.net.Resume(m.id) })
	}
	m.paused = max(m.paused, f.w.now()+d)
}

// clog holds up one direction of a link for a while.
func (f *faults) clog() {
	a, b := f.anyone(), f.anyone()
	if !f.w.net.Connected(a.id, b.id) {
		return
	}
	f.w.net.Clog(a.id, b.id)
	f.during(about(f.w.rng, pick(f.w.rng, 20*time.Millisecond, 500*time.Millisecond)), func() { f.w.net.Unclog(a.id, b.id) })
}

// cut holds up a link; it breaks if that takes too long.
func (f *faults) cut() {
	a, b := f.anyone(), f.anyone()
	if !f.w.net.Connected(a.id, b.id) {
		return
	}
	f.w.count.breaks++
	f.w.net.Cut(a.id, b.id, int64(about(f.w.rng, 100*time.Millisecond)))
	f.during(about(f.w.rng, 200*time.Millisecond), func() { f.w.net.Heal(a.id, b.id) })
}

// breakLink breaks a connection, with what is in flight.
func (f *faults) breakLink() {
	a, b := f.anyone(), f.anyone()
	if f.w.net.Connected(a.id, b.id) {
		f.w.count.breaks++
		f.w.net.Break(a.id, b.id)
	}
}

// badDisk makes the next operation of a kind fail.
func (f *faults) badDisk(verb nvm.Verb) { f.worsen(f.anyone(), verb) }

func (f *faults) worsen(m *machine, verb nvm.Verb) {
	m.sick = true
	m.disk.FailNth(f.w.rng.IntN(3), errs.IO, f.w.rng.IntN(2) == 0, func(op nvm.Op) bool { return op.Verb == verb })
}

// badFiles makes writes of small files fail until the process ends.
func (f *faults) badFiles() {
	m := f.anyone()
	m.sick, m.badFiles = true, true
}

// full leaves no room on a disk for a while: for another file, or for anything.
func (f *faults) full() {
	m := f.anyone()
	if m.sick {
		return
	}
	m.sick = true
	m.disk.SetCapacity(0)
	if f.w.rng.IntN(2) == 0 {
		m.disk.SetHook(func(op nvm.Op) (int, error) {
			if op.Verb == nvm.Write && op.Name != "mark" && f.w.rng.IntN(3) > 0 {
				return f.w.rng.IntN(op.Len), errs.New(errs.NoSpace, "injected: %v", op)
			}
			return 0, nil
		})
	}
	life := m.life
	f.w.after(about(f.w.rng, time.Second), func() {
		if m.life == life {
			m.heal()
		}
	})
}

// clock sets a clock anew.
func (f *faults) clock() { f.anyone().offset = f.w.delays.offset(f.w.rng) }

// slowDisk changes how long syncs take everywhere.
func (f *faults) slowDisk() {
	f.w.delays.disk = pick(f.w.rng, 10*time.Microsecond, 2*time.Millisecond, 200*time.Millisecond)
}
