package sim

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/namespace"
	"dfs/shards"
)

// client is a program on a machine that does one thing after the other. It dies with the process.
type client struct {
	m   *machine
	rng *rand.Rand
	own ids.Ino // a file that only this client uses
}

// ownFiles is where the inode numbers of files begin that belong to one client.
const ownFiles = ids.Ino(1) << 40

// waiting is something that a client waits for.
type waiting struct {
	what  string
	since time.Duration
	ready func() bool
	then  func()
}

func newClient(m *machine, number int) *client {
	stream := uint64(m.id)<<40 | uint64(m.life)<<8 | uint64(number)
	return &client{m: m, rng: rand.New(rand.NewPCG(m.w.seed, stream)), own: ownFiles + ids.Ino(stream)}
}

// later makes the client do the next thing after a while.
func (c *client) later() {
	life := c.m.life
	c.m.w.after(c.m.w.delays.think(c.rng), func() {
		switch {
		case c.m.life != life || c.m.node == nil || c.m.w.quiet:
		case c.m.w.now() < c.m.paused:
			c.later()
		default:
			c.act()
		}
	})
}

// await calls then once ready says so; the machine asks after each step.
func (m *machine) await(what string, ready func() bool, then func()) {
	if ready() {
		then()
		return
	}
	m.waiting = append(m.waiting, &waiting{what, m.w.now(), ready, then})
}

// poll ends what is over.
func (m *machine) poll() {
	all := m.waiting
	m.waiting = nil
	var over []*waiting
	for _, q := range all {
		if q.ready() {
			over = append(over, q)
		} else {
			m.waiting = append(m.waiting, q)
		}
	}
	for _, q := range over {
		q.then()
	}
}

func (c *client) act() {
	switch n := c.rng.IntN(100); {
	case n < 1:
		c.burst(c.rng.IntN(60))
	case n < 55:
		sub, op, data := c.m.w.program.operation(c.rng, c.own)
		c.submit(sub, op, data, c.rng.IntN(2) == 0)
	case n < 75:
		c.now()
	case n < 88:
		c.at()
	default:
		c.sync()
	}
}

// burst submits many operations at once, more than there may be room for.
func (c *client) burst(n int) {
	if n == 0 {
		c.later()
		return
	}
	sub, op, data := c.m.w.program.operation(c.rng, c.own)
	c.send(sub, op, data, nil, func() { c.burst(n - 1) })
}

// submit gives an operation to the node. A client that waits goes on when the call is over, another one
// at once.
func (c *client) submit(sub ids.Subgroup, op, data []byte, wait bool) {
	if wait {
		c.send(sub, op, data, c.later, nil)
	} else {
		c.send(sub, op, data, nil, c.later)
	}
}

// send gives an operation to the node, when there is room. It calls sent when that is done, and over when the
// call is.
func (c *client) send(sub ids.Subgroup, op, data []byte, over, sent func()) {
	m := c.m
	var parts [][]byte
	if data != nil {
		parts = [][]byte{data[:len(data)/2], data[len(data)/2:]}
	}
	call, room, err := m.node.TrySubmit(sub, op, parts...)
	switch {
	case err != nil:
		m.w.fail("node %d refuses an operation: %v", m.id, err)
	case room != nil:
		closed := func() bool {
			select {
			case <-room:
				return true
			default:
				return false
			}
		}
		m.await("room", closed, func() { c.send(sub, op, data, over, sent) })
		return
	}
	m.counter++
	m.w.count.ops++
	id := opID{m.id, m.life, m.counter}
	if data != nil {
		m.w.order.data[id] = bytes.Clone(data)
	}
	m.w.note(m.id, "submit", uint64(sub), m.counter)
	m.await("call", call.Ready, func() {
		c.finished(id, sub, op, call)
		if over != nil {
			over()
		}
	})
	m.wake()
	if sent != nil {
		sent()
	}
}

// finished checks what a call answered.
func (c *client) finished(id opID, sub ids.Subgroup, op []byte, call *shards.Call) {
	m := c.m
	r, err := call.Wait(context.Background())
	if err != nil {
		m.w.fail("the call of %v failed: %v", id, err)
	}
	m.w.count.calls++
	m.w.note(m.id, "over", id.counter, uint64(r.Timestamp))
	m.w.order.result(m, id, r.Kind, r.Body, r.Timestamp, r.Version)
	if sub != ids.Namespace || r.Kind != errs.OK {
		return
	}
	if o, err := namespace.Decode(op); err == nil {
		if _, ok := o.(namespace.Create); ok {
			if made, err := namespace.DecodeCreateResult(r.Body); err == nil {
				m.w.program.created(made.Ino, made.Inode.Type())
			}
		}
	}
}

func (c *client) subgroup() ids.Subgroup { return ids.Subgroup(c.rng.IntN(dataShards + 1)) }

// now reads the present.
func (c *client) now() {
	m, sub, floor, cuts := c.m, c.subgroup(), c.m.w.reads.seen, len(c.m.w.order.cuts)
	serving, acks := m.w.serving, m.kept.acks
	p, err := m.node.AskNow(sub)
	if err != nil {
		m.w.fail("node %d refuses a read: %v", m.id, err)
	}
	if m.node.NowReady() && !p.Ready() {
		m.w.fail("W7: node %d need not wait for a read, and does", m.id)
	}
	m.w.note(m.id, "read", uint64(sub), uint64(floor))
	m.wake()
	m.await("read", p.Ready, func() {
		reader, err := p.Wait(context.Background())
		if err != nil {
			m.w.fail("a read at node %d failed: %v", m.id, err)
		}
		m.w.count.reads++
		m.w.order.goesOn(m)
		m.w.reads.now(m, sub, reader, m.w.order.left(floor, cuts), serving, c.rng)
		m.kept.keep(m, acks)
		c.later()
	})
}

// at reads the past: what someone has asked before, or some moment up to the present and a little beyond.
func (c *client) at() {
	m, sub := c.m, c.subgroup()
	var t hlc.Timestamp
	switch past := m.w.reads.past; {
	case len(past) > 0 && c.rng.IntN(2) == 0:
		a := pick(c.rng, past...)
		sub, t = a.sub, a.at
	case m.pos > 0 && c.rng.IntN(3) > 0:
		e := &m.w.order.entries[c.rng.IntN(m.pos)]
		if at, err := m.node.TimeOf(e.version); (err != nil || at != e.time) && !(m.sick && errs.KindOf(err) == errs.IO) {
			m.w.fail("W8: node %d says that %v was at %d (%v), it was at %d", m.id, e.version, int64(at), err, int64(e.time))
		}
		t = e.time + hlc.Timestamp(c.rng.IntN(3)-1)
	default:
		t = m.physical() + hlc.Timestamp(c.rng.Int64N(int64(time.Second))) - hlc.Timestamp(900*time.Millisecond)
	}
	c.past(sub, t)
}

func (c *client) past(sub ids.Subgroup, t hlc.Timestamp) {
	m := c.m
	p, err := m.node.AskAt(sub, t)
	m.w.note(m.id, "ask", uint64(sub), uint64(t))
	m.wake()
	if err != nil {
		m.w.reads.refused(m, t, err)
		c.later()
		return
	}
	m.await("past", p.Ready, func() {
		reader, err := p.Wait(context.Background())
		if err != nil && (m.badFiles || m.dying) {
			c.later() // it could not be remembered what was answered
			return
		}
		if err != nil {
			m.w.fail("a read of the past at node %d failed: %v", m.id, err)
		}
		m.w.count.past++
		m.w.reads.at(m, sub, reader, t, c.rng)
		c.later()
	})
}

// sync has everything made durable that was submitted and applied here so far.
func (c *client) sync() {
	m, counter, place := c.m, c.m.counter, c.m.pos
	p, err := m.node.AskSync()
	if err != nil {
		m.w.fail("node %d refuses a sync: %v", m.id, err)
	}
	m.w.note(m.id, "sync", counter, uint64(place))
	m.wake()
	m.await("sync", p.Ready, func() {
		if _, err := p.Wait(context.Background()); err != nil {
			m.w.fail("a sync of node %d failed: %v", m.id, err)
		}
		m.w.count.syncs++
		m.w.reads.synced(m, counter, place, c.rng)
		c.later()
	})
}
