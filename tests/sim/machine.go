package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"dfs/errs"
	"dfs/fabric"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/nvm"
	"dfs/record"
	"dfs/shards"
	"dfs/versionlog"
	"dfs/views"
)

// machine is one node: what is on its disks, its clock, and the process that runs on it now and then.
type machine struct {
	w  *world
	id ids.NodeID

	nodes  []views.Peer // the configured nodes as it was told when it came
	absent bool         // it is not there: it has not come yet, or has gone
	gone   bool         // it was taken out, or is about to be; its number is not given to another

	// On disk. The incarnation and the state of views are written through; the floor survives only the process.
	disk   *nvm.Strict
	life   uint32
	state  views.Durable
	floor  hlc.Timestamp
	kv     *index.Mem
	offset time.Duration // of its clock
	rot    []flip        // bits that are not as they were written

	// The process; node is nil while there is none.
	node     *shards.Node
	log      *versionlog.Log
	index    *index.Index
	fab      fabric.Fabric
	regions  map[fabric.RegionID]bool // that peers may write to
	clients  []*client
	waiting  []*waiting
	counter  uint64        // of the last operation submitted in this life
	stepAt   time.Duration // when it steps next
	paused   time.Duration // it does nothing before
	sick     bool          // its disk failed, so it may fail
	badFiles bool          // small files cannot be written
	outages  int           // power failures so far
	busy     int           // steps since busyFrom
	busyFrom time.Duration

	dying, dyingPower bool // it ends with this step, and nobody sees anything of it any more

	// What the referees know of it.
	pos      int        // entries of the order that its log has
	diverged bool       // its log has others behind them, which are lost
	synced   int        // of them are covered by a sync
	kept     kept       // of what it showed
	told     int        // of them were told to its owner, or came before
	claimed  int        // of them were said to be persisted
	ringView ids.ViewID // the view whose rings it has
	wedged   bool       // it said that it does nothing more in that view
	stalled  bool       // the last append failed
	futile   int        // appends to a log that had failed
}

const (
	epoch      = hlc.Timestamp(1_795_341_600_000_000_000) // virtual time 0: 2026-11-22T10:00:00Z
	dataShards = 2
	heartbeat  = 100 * time.Millisecond
	syncAfter  = 50 * time.Millisecond
	// suspectAfter is longer than a held up link takes to break.
	suspectAfter = 500 * time.Millisecond
)

func (m *machine) physical() hlc.Timestamp { return epoch + hlc.Timestamp(m.w.now()+m.offset) }

func (m *machine) up() bool { return m.node != nil }

// start begins the next life. It may fail on a sick disk; then it is tried again later.
func (m *machine) start() {
	if m.up() || m.absent {
		return
	}
	m.life++
	log, err := versionlog.Open(versionlog.Config{Dir: m.disk, SegmentSize: m.w.segmentSize})
	if err == nil {
		m.log = log
		n, bad := m.scan(m.withoutRot(log))
		if bad != nil || n < m.pos {
			m.w.fail("W4: the log of node %d has %d operations, it had %d: %v", m.id, n, m.pos, bad)
		}
		m.pos = n
		m.index = index.New(m.kv, index.Config{CacheBytes: 64 << 10})
		var node *shards.Node
		if node, err = shards.New(m.config()); err == nil {
			m.begin(node)
			return
		}
	}
	m.w.note(m.id, "start failed", uint64(m.life), 0)
	if !m.sick {
		m.w.fail("node %d cannot start: %v", m.id, err)
	}
	m.end()
	m.w.faults.restart(m, false)
}

func (m *machine) config() shards.Config {
	return shards.Config{
		Self: views.Member{Node: m.id, Incarnation: m.life}, Nodes: m.nodes, Shards: dataShards,
		Log: &watchedLog{m.log, m}, Index: m.index, Durable: m.state, Floor: m.floor,
		SaveState: func(d views.Durable) error { m.w.accepted(d); return m.save(func() { m.state = d }) },
		SaveFloor: func(t hlc.Timestamp) error { return m.save(func() { m.floor = t }) },
		OnView:    m.enter,
		Physical:  m.physical, Sync: m.startSync, Monotonic: m.w.now,
		Work: m.work, Replicas: m.w.replicas, SuspectAfter: suspectAfter, Grace: heartbeat,
		Logger: slog.New(&logHandler{m: m, life: m.life}), RingBytes: m.w.ringBytes, Heartbeat: heartbeat, SyncAfter: syncAfter,
	}
}

// enter notes that the machine has installed a view; of a number there is one (W3).
func (m *machine) enter(v views.View) {
	w := m.w
	if old, ok := w.views[v.ID]; ok && !reflect.DeepEqual(old, v) {
		w.fail("W3: view %d of node %d is %+v, elsewhere it is %+v", v.ID, m.id, v, old)
	}
	if v.Rank(m.id) < 0 || 2*len(v.Members) <= len(v.Nodes) {
		w.fail("W3: node %d installs view %+v", m.id, v)
	}
	w.views[v.ID] = v
	w.changes.follow(v)
}

// save writes a small file. If that fails it may be written all the same.
func (m *machine) save(write func()) error {
	if m.dying {
		return errDying
	}
	if !m.badFiles {
		write()
		m.w.faults.reach(m, pointPersisted, 0)
		return nil
	}
	if m.w.rng.IntN(2) == 0 {
		write()
	}
	return errs.New(errs.IO, "injected: write of a small file")
}

func (m *machine) begin(node *shards.Node) {
	m.node, m.synced = node, m.pos // recovery has synced the log
	m.w.note(m.id, "starts", uint64(m.life), uint64(m.pos))
	m.regions = map[fabric.RegionID]bool{}
	m.fab = m.w.net.Endpoint(m.id, m.events(node.Events()))
	m.told = m.pos
	node.OnApply(m.tell)
	m.kept = kept{}
	node.OnAcknowledge(m.kept.told)
	node.Start(&watchedFabric{m.fab, m})
	m.wake()
	for i := range m.w.clientsPerNode {
		c := newClient(m, i)
		m.clients = append(m.clients, c)
		c.later()
	}
}

// events are the node's, and then it may have to step.
func (m *machine) events(e fabric.Events) fabric.Events {
	return fabric.Events{
		Up:      func(p ids.NodeID) { e.Up(p); m.wake() },
		Down:    func(p ids.NodeID, err error) { e.Down(p, err); m.wake() },
		Message: func(p ids.NodeID, msg []byte) { e.Message(p, msg); m.wake() },
		Wake:    func() { e.Wake(); m.wake() },
	}
}

// end stops the process where it is.
func (m *machine) end() {
	if m.fab != nil {
		m.fab.Close()
	}
	m.node, m.log, m.index, m.fab, m.clients, m.waiting = nil, nil, nil, nil, nil, nil
	m.counter, m.stepAt, m.paused, m.ringView, m.wedged, m.stalled, m.futile = 0, 0, 0, 0, false, false, 0
	m.dying = false
	m.kv = m.kv.Crash()
}

// crash ends the process; with power, what was not persisted may be lost.
func (m *machine) crash(power bool) {
	m.w.count.crashes++
	m.end()
	if power {
		m.w.count.powerFailures++
		m.outages++
		m.floor = 0
		m.disk = m.unrotten(m.disk.Crash(m.w.rng)) // both at once are more than a log is made for
		m.rot = nil
		m.pos = m.recovered()
		m.synced = m.pos
	}
	m.w.note(m.id, "crash", uint64(m.pos), b2u(power))
	m.w.order.crashed(m)
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// reopen opens the log on a copy of a disk.
func (m *machine) reopen(disk *nvm.Strict) *versionlog.Log {
	disk = m.unrotten(disk.Crash(nil))
	disk.SetCapacity(1 << 40)
	log, err := versionlog.Open(versionlog.Config{Dir: disk, SegmentSize: m.w.segmentSize})
	if err != nil {
		m.w.fail("W4: the log of node %d does not recover: %v", m.id, err)
	}
	return log
}

// recovered returns how many operations the log on the disk has after a crash.
func (m *machine) recovered() int {
	n, err := m.scan(m.reopen(m.disk))
	if err != nil {
		m.w.fail("W4: the log of node %d cannot be read: %v", m.id, err)
	}
	return n
}

// scan counts the operations in a log and compares them with the order. There may be more than in the order: of
// an Append that failed any part may have been written.
func (m *machine) scan(log *versionlog.Log) (n int, err error) {
	order := m.w.order
	m.diverged = false
	err = log.Scan(0, func(_ versionlog.LSN, r record.Record) error {
		if m.diverged = m.diverged || r.Kind() == record.Op && order.lost(n, r); r.Kind() == record.Op && !m.diverged {
			order.found(m, n, r)
			n++
		}
		return nil
	})
	return n, err
}

// heal makes the disk well. A log that has failed stays so until the process ends.
func (m *machine) heal() {
	m.sick = m.log != nil && m.log.Err() != nil
	m.badFiles = false
	m.disk.SetHook(nil)
	m.disk.SetCapacity(1 << 40)
}

// wake makes the machine step soon if something happened.
func (m *machine) wake() {
	if m.node != nil && m.node.Woken() {
		m.stepBy(m.w.now() + m.w.delays.schedule(m.w.rng))
	}
}

// stepBy makes the machine step at a time or before.
func (m *machine) stepBy(at time.Duration) {
	at = max(at, m.paused)
	if m.stepAt > m.w.now() && m.stepAt <= at {
		return
	}
	m.stepAt = at
	life := m.life
	m.w.at(at, func() {
		switch {
		case m.life != life || m.node == nil || m.stepAt != at:
		case m.w.now() < m.paused:
			m.stepAt = 0
			m.stepBy(m.paused)
		default:
			m.step()
		}
	})
}

// busy is how many steps in how long a machine may take, when each takes a microsecond.
const (
	busySteps = 30_000
	busyTime  = 50 * time.Millisecond
)

func (m *machine) step() {
	m.w.count.steps++
	if m.busy++; m.w.now() > m.busyFrom+busyTime {
		m.busy, m.busyFrom = 0, m.w.now()
	} else if m.busy > busySteps {
		m.w.fail("W9: node %d spins: %d steps in %v", m.id, m.busy, m.w.now()-m.busyFrom)
	}
	m.stepAt = 0
	again := m.node.Step()
	if m.dying {
		m.w.faults.crash(m, m.dyingPower)
		return
	}
	if err := m.node.Err(); err != nil {
		m.failed(err)
		return
	}
	m.poll()
	m.stepBy(m.w.now() + heartbeat/2)
	if again {
		m.stepBy(m.w.now() + m.w.delays.again)
	}
	m.wake()
}

// failed ends a process whose replica has stopped, as its owner does.
func (m *machine) failed(err error) {
	var cut *shards.CutError
	if errors.As(err, &cut) {
		m.cut(cut.After)
		return
	}
	m.w.note(m.id, "failed", uint64(errs.KindOf(err)), 0)
	if !m.sick {
		m.w.fail("node %d stopped: %v", m.id, err)
	}
	m.w.faults.afterFailure(m)
}

// cut takes off the end of the log what all others have lost, and starts again without the index.
func (m *machine) cut(after ids.Version) {
	m.w.note(m.id, "cut", uint64(after), uint64(m.pos))
	m.w.count.cuts++
	// What it has beyond its place was lost before; up to there it may lose something only now.
	if place := m.w.order.ofVersion(after); !m.diverged || place < m.pos {
		m.w.order.cut(m, place)
	}
	m.end()
	m.disk, m.rot = m.unrotten(m.disk), nil
	if err := versionlog.Cut(versionlog.Config{Dir: m.disk, SegmentSize: m.w.segmentSize}, after); err != nil && !m.sick {
		m.w.fail("node %d cannot cut its log: %v", m.id, err)
	}
	m.kv, m.diverged = index.NewMem(), false
	m.pos = m.recovered()
	m.synced = min(m.synced, m.pos)
	m.claimed = min(m.claimed, m.pos)
	m.w.order.crashed(m)
	m.w.faults.restart(m, false)
}

// work does what the engine wants done beside its steps, a while later.
func (m *machine) work(fn func()) {
	life := m.life
	m.w.after(m.w.delays.schedule(m.w.rng), func() {
		if m.life == life && m.node != nil && !m.dying {
			fn()
			m.wake()
		}
	})
}

// startSync syncs the log a while later, and says so another while later.
func (m *machine) startSync() {
	life := m.life
	alive := func() bool { return m.life == life && m.node != nil }
	m.w.after(m.w.delays.sync(m.w.rng), func() {
		if !alive() {
			return
		}
		log := &watchedLog{m.log, m}
		lsn, err := log.Sync()
		m.w.after(m.w.delays.sync(m.w.rng), func() {
			if alive() {
				m.node.Synced(lsn, err)
				m.wake()
			}
		})
	})
}

// tell checks what the node says that it has applied: every operation that succeeded, in order, when it can be
// read (G5).
func (m *machine) tell(sub ids.Subgroup, origin ids.NodeID, op []byte) {
	if m.diverged || m.dying {
		return
	}
	o := m.w.order
	o.run(m.pos)
	for m.told < m.pos && o.entries[m.told].kind != errs.OK {
		m.told++
	}
	if m.told == m.pos {
		m.w.fail("W6: node %d says that it applied an operation of node %d that it does not have", m.id, origin)
	}
	e := &o.entries[m.told]
	if e.sub != sub || e.id.node != origin || !bytes.Equal(e.op, op) || m.index.Newest(sub) < e.time {
		m.w.fail("W6: node %d says that it applied an operation of node %d, it is at %v", m.id, origin, e.id)
	}
	m.told++
}

// flushIndex does what the index's store does whenever it likes: it makes the log durable, then itself (X7).
func (m *machine) flushIndex() {
	if m.node == nil || m.dying {
		return
	}
	log := &watchedLog{m.log, m}
	if _, err := log.Sync(); err != nil {
		return
	}
	m.w.note(m.id, "flush", uint64(m.pos), 0)
	if err := m.index.Flush(); err != nil {
		m.w.fail("node %d: flush of the index: %v", m.id, err)
	}
}

// logHandler keeps what the engine says in the trace. What it calls an error is one.
type logHandler struct {
	m    *machine
	life uint32
	slog.Handler
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	h.m.w.note(h.m.id, text, 0, 0)
	if r.Level >= slog.LevelError && !h.m.sick && !h.m.dying && !(h.m.w.faults.on && len(h.m.rot) > 0) {
		h.m.w.fail("node %d says: %s", h.m.id, text)
	}
	return nil
}
