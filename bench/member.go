package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"dfs/fabric"
	"dfs/hlc"
	"dfs/ids"
	"dfs/multicast"
	"dfs/record"
	"dfs/sst"
)

// Load is what the members of one group do.
type Load struct {
	Members int           // of the group
	Senders int           // the first so many send
	Size    int           // of a message in bytes, without what the record adds
	Window  int           // own messages that a sender has in flight; ignored if Closed
	Closed  bool          // a sender waits for each message before it sends the next
	Ring    int           // bytes of a ring
	WarmUp  time.Duration // before counting
	Time    time.Duration // of counting

	Clients int  // of replication: how many a sender has
	Sync    bool // of replication: wait for persistence
}

// opLimit is up to which size a message is an operation without data: as in the filesystem, where names and
// numbers are operations, and contents are data with sums of its own.
const opLimit = 1024

func (l Load) lengths() (op, data int) {
	if l.Size <= opLimit {
		return l.Size, 0
	}
	return 32, l.Size
}

// Count is what one member saw.
type Count struct {
	Delivered uint64        // messages of all senders
	Elapsed   time.Duration // by this member's clock
	Steps     uint64
	CPU       time.Duration // of the process, if it is the member's own
	Latency   Histogram     // from sending to own delivery, if Closed
}

// member is one member of a group of its own: rings, table and the loop around them, with no log and
// no state machine behind.
type member struct {
	load Load
	rank ids.Rank
	view ids.ViewID
	fab  fabric.Fabric

	bell  *fabric.Doorbell
	stop  chan struct{}
	ended sync.Once // stop
	done  sync.WaitGroup

	// Owned by whoever is on duty.
	table *sst.Table
	snap  *sst.Snapshot
	group *multicast.Group
	clock hlc.Clock
	rings [][]byte
	// release ends the own ring's being a source.
	release func()
	err     error // set before stop is closed for it

	beat      atomic.Bool // push the row in any case
	delivered atomic.Uint64
	steps     atomic.Uint64
	own       chan struct{} // a message of this member's was delivered; used if Closed

	// mu guards the outbox.
	mu      sync.Mutex
	room    sync.Cond
	sent    uint64
	mine    atomic.Uint64 // own messages delivered
	sending bool
}

const heartbeat = 100 * time.Millisecond

// patience is how many times longer counting lasts at most, until there is something to count.
const patience = 50

func node(r ids.Rank) ids.NodeID { return ids.NodeID(r + 1) }

func tableRegion(v ids.ViewID) fabric.RegionID { return fabric.RegionID(uint64(v)<<32 | 1<<31) }

func ringRegion(v ids.ViewID, owner ids.Rank) fabric.RegionID {
	return fabric.RegionID(uint64(v)<<32 | uint64(owner))
}

// newMember makes a member and lets its peers write. The loop starts with start, once all members are made.
func newMember(load Load, rank ids.Rank, view ids.ViewID, fab fabric.Fabric) (*member, error) {
	m := &member{
		load: load, rank: rank, view: view, fab: fab,
		bell: fabric.NewDoorbell(), stop: make(chan struct{}), own: make(chan struct{}, 1),
	}
	m.room.L = &m.mu
	layout := sst.Layout{Members: load.Members, Groups: 1}
	mem := fabric.Alloc(8 * layout.Words())
	m.table, m.snap = sst.New(layout, rank, fabric.Words(mem)), sst.NewSnapshot(layout)
	for range load.Members {
		m.rings = append(m.rings, fabric.Alloc(load.Ring))
	}
	var err error
	if m.group, err = multicast.New(multicast.Config{Table: m.table, View: view, Rings: m.rings, Clock: &m.clock}); err != nil {
		return nil, err
	}
	if op, data := load.lengths(); !m.group.Outbox().Fits(op, data) {
		return nil, fmt.Errorf("messages of %d bytes do not fit rings of %d", load.Size, load.Ring)
	}
	for r := range load.Members {
		if ids.Rank(r) != rank {
			fab.Register(ringRegion(view, ids.Rank(r)), m.rings[r])
		}
	}
	fab.Register(tableRegion(view), mem)
	m.release = fab.Source(m.rings[rank])
	return m, nil
}

// start runs the loop.
func (m *member) start() { m.done.Go(m.loop) }

// end has the loop end.
func (m *member) end() { m.ended.Do(func() { close(m.stop) }) }

// close ends the loop; nothing is written into the member's memory any more.
func (m *member) close() {
	m.end()
	m.done.Wait()
	m.fab.Deregister(tableRegion(m.view))
	for r := range m.load.Members {
		if ids.Rank(r) != m.rank {
			m.fab.Deregister(ringRegion(m.view, ids.Rank(r)))
		}
	}
	m.release()
}

// answer steps here and now, if nobody does.
func (m *member) answer() { m.bell.Answer(m.mustStep, 2) }

// loop steps the member when something happened and nobody else steps, and at every heartbeat.
func (m *member) loop() {
	m.bell.Work(m.mustStep)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-m.stop:
			m.bell.Stop()
			return
		case <-m.bell.Duty():
			m.bell.Work(m.mustStep)
		case <-beat.C:
			m.beat.Store(true)
			m.bell.Ring()
		}
	}
}

// mustStep steps, and ends everything if that fails.
func (m *member) mustStep() (again bool) {
	if m.err != nil {
		return false
	}
	again, err := m.step()
	if err == nil {
		return again
	}
	m.err = err
	m.mu.Lock()
	m.sending = false
	m.room.Broadcast()
	m.mu.Unlock()
	m.end()
	return false
}

// step is the step of package multicast's doc, with a log that takes no time.
func (m *member) step() (again bool, err error) {
	if m.beat.Swap(false) {
		m.table.Touch()
	}
	m.mu.Lock()
	if m.group.Collect() {
		m.room.Signal()
	}
	m.mu.Unlock()
	if err := m.table.Snapshot(m.snap); err != nil {
		return false, err
	}
	eff, err := m.group.Step(m.snap, hlc.FromTime(time.Now()))
	if err != nil {
		return false, err
	}
	for r := range m.load.Members {
		for _, w := range eff.Writes {
			if ids.Rank(r) != m.rank {
				m.fab.Write(node(ids.Rank(r)), ringRegion(m.view, m.rank), w.Off, m.rings[m.rank][w.Off:w.Off+w.Len])
			}
		}
	}
	m.push()
	if n := len(eff.Deliveries); n > 0 {
		m.deliver(eff.Deliveries)
		m.group.Logged(eff.Deliveries[n-1].Seq)
		m.push()
	}
	m.steps.Add(1)
	return eff.More, nil
}

// push sends the own row if it has news.
func (m *member) push() {
	if !m.table.Dirty() {
		return
	}
	for r := range m.load.Members {
		if ids.Rank(r) != m.rank && m.table.DirtyFor(ids.Rank(r)) {
			m.fab.WriteWords(node(ids.Rank(r)), tableRegion(m.view), m.table.RowOffset(), m.table.Row())
		}
	}
	m.table.Pushed()
	m.fab.Flush()
}

func (m *member) deliver(ds []multicast.Delivery) {
	mine := uint64(0)
	for i := range ds {
		if ds[i].Sender == m.rank {
			mine++
		}
	}
	m.delivered.Add(uint64(len(ds)))
	if mine == 0 {
		return
	}
	m.mine.Add(mine)
	if m.load.Closed {
		m.own <- struct{}{} // has room: one message is under way
		return
	}
	m.mu.Lock()
	m.room.Signal()
	m.mu.Unlock()
}

// measure sends, if this member is a sender, and counts.
func (m *member) measure() (c Count, err error) {
	m.mu.Lock()
	m.sending = true
	m.mu.Unlock()
	var latency Histogram
	counting := &atomic.Bool{}
	var sender sync.WaitGroup
	switch {
	case int(m.rank) >= m.load.Senders:
	case m.load.Closed:
		sender.Go(func() { m.sendClosed(&latency, counting) })
	default:
		sender.Go(m.sendWindow)
	}
	m.wait(m.load.WarmUp)
	counting.Store(true)
	cpu, start, before, steps := cpuTime(), time.Now(), m.delivered.Load(), m.steps.Load()
	for range patience {
		m.wait(m.load.Time)
		if m.delivered.Load()-before >= uint64(2*m.load.Senders) {
			break
		}
	}
	c.Delivered, c.Elapsed = m.delivered.Load()-before, time.Since(start)
	c.Steps, c.CPU = m.steps.Load()-steps, cpuTime()-cpu
	m.mu.Lock()
	m.sending = false
	m.room.Broadcast()
	m.mu.Unlock()
	sender.Wait()
	c.Latency = latency
	select {
	case <-m.stop:
		return c, m.err
	default:
		return c, nil
	}
}

// wait waits for d, or for the end of the loop.
func (m *member) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.stop:
	}
}

// send puts one message into the ring, waiting for room. It returns false when sending is over.
func (m *member) send(payload []byte, window uint64) bool {
	op, data := m.load.lengths()
	m.mu.Lock()
	var slot multicast.Reservation
	for ok := false; !ok; {
		if !m.sending {
			m.mu.Unlock()
			return false
		}
		if m.sent-m.mine.Load() < window {
			slot, ok = m.group.Outbox().Reserve(op, data)
		}
		if !ok {
			m.room.Wait()
		}
	}
	m.sent++
	h := record.Header{Origin: node(m.rank), Incarnation: 1, Counter: m.sent, Subgroup: 1, Kind: record.Op}
	m.mu.Unlock()
	record.Build(slot.Buf, h, payload[:op], payload[:data])
	m.mu.Lock()
	m.group.Outbox().Commit(slot)
	m.mu.Unlock()
	if m.load.Closed {
		m.answer() // there is nothing else to do
	} else {
		m.bell.Ring()
	}
	return true
}

func (m *member) sendWindow() {
	payload := make([]byte, max(m.load.Size, opLimit))
	for m.send(payload, uint64(m.load.Window)) {
	}
}

func (m *member) sendClosed(latency *Histogram, counting *atomic.Bool) {
	payload := make([]byte, max(m.load.Size, opLimit))
	for {
		count, start := counting.Load(), time.Now()
		if !m.send(payload, 1) {
			return
		}
		select {
		case <-m.own:
		case <-m.stop:
			return
		}
		if count {
			latency.Add(time.Since(start))
		}
	}
}
