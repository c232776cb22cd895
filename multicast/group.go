package multicast

import (
	"fmt"
	"strings"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
)

// Slot is a position in the total order of a view: slot k of the member at place r, of n, is k*n+r.
type Slot uint64

// Seq numbers the delivered messages of a view from 1 (M10). 0 is before the first.
type Seq uint64

// Range is a run of bytes of a ring.
type Range struct{ Off, Len int }

// Delivery is one message at its place in the order.
type Delivery struct {
	Sender    ids.Rank      // in the view
	Seq       Seq           // in the view
	Timestamp hlc.Timestamp // as decided by delivery; it is in the record too
	Record    record.Record // in ring memory until Logged; version and timestamp are set, the log's fields are not
}

// Effects are what a step asks of its caller. Their slices are used again by the next Step.
type Effects struct {
	Writes     []Range    // of the own ring, at most 2, to be written at every other member before the row
	Deliveries []Delivery // to be logged and applied in this order, then reported by Logged
	// More: step again at once, after Logged; the cap on a batch was reached, or ring room is to be given back.
	More bool
}

// MemberError says that what a member wrote makes no sense; the member is broken (M11).
type MemberError struct {
	Rank ids.Rank
	Err  error // of kind errs.Corrupt
}

func (e *MemberError) Error() string {
	return fmt.Sprintf("multicast from member %d: %v", e.Rank, e.Err)
}

// Unwrap returns the cause.
func (e *MemberError) Unwrap() error { return e.Err }

// Config is what a Group is made of.
type Config struct {
	Table   *sst.Table
	Group   ids.Group
	View    ids.ViewID
	Members []ids.Rank    // of the view, in this group, ascending, this node among them; nil means all
	Rings   [][]byte      // by place in Members; [place of this node] is its own ring. Same power of two
	Clock   *hlc.Clock    // of the node; used in Step, New, PromiseFrontier and Trim
	After   hlc.Timestamp // all timestamps of this view are later than this; the same at every member

	MaxInFlight   int           // own messages reserved and not yet logged everywhere, the same at all; 0 means 65536
	MaxBatch      int           // messages delivered in a step; 0 means 512
	MaxBatchBytes int           // bytes of records delivered in a step; 0 means 8 MiB
	MaxAhead      hlc.Timestamp // how far beyond the clock a peer's time may lie; 0 means 10 seconds
}

const (
	defaultInFlight   = 1 << 16
	defaultBatch      = 512 // applied in some ten milliseconds, well within a heartbeat even where others want the processor
	defaultBatchBytes = 8 << 20
	defaultAhead      = hlc.Timestamp(10e9)
	minRing           = 1 << 12
	maxRing           = 1 << 32
)

func (c Config) withDefaults() Config {
	if c.Members == nil && c.Table != nil {
		for r := range c.Table.Layout().Members {
			c.Members = append(c.Members, ids.Rank(r))
		}
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = defaultInFlight
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = defaultBatch
	}
	if c.MaxBatchBytes == 0 {
		c.MaxBatchBytes = defaultBatchBytes
	}
	if c.MaxAhead == 0 {
		c.MaxAhead = defaultAhead
	}
	return c
}

// member is what this node knows of one member of the group, itself included.
type member struct {
	rank     ids.Rank
	ring     []byte        // its ring; this node's copy of it
	q        queue         // its messages
	arrived  uint64        // where in q the messages begin that the last step received
	parsed   uint64        // bytes of the ring taken into q
	released uint64        // bytes of the ring given back: logged here, or for the own ring by all
	received uint64        // its slots received here; for this node, its slots used up
	stamp    hlc.Timestamp // of its last message received
	frontier hlc.Timestamp // its promise as of the last step
	done     uint64        // its slots below this are done: its last delivered message was just before
	head     uint64        // position of its first message to deliver, or none
	stable   uint64        // its slots below this are received by all, or within the trim
	limit    uint64        // its slots from this on are nulls: the trim, or none
	wants    Seq           // its WantPersisted
}

// none is a position after every message.
const none = 1<<64 - 1

func (m *member) record(e *entry) record.Record {
	start := (e.end - uint64(e.size)) & uint64(len(m.ring)-1)
	return m.ring[start : start+uint64(e.size) : start+uint64(e.size)]
}

// columns are the group's words in a row; received is by place.
type columns struct {
	tail, sent, delivered, persisted, frontier, wantPersisted, wantFrontier sst.Column

	received []sst.Column
}

// Group is one member's side of one total order in one view.
type Group struct {
	cfg     Config
	table   *sst.Table
	clock   *hlc.Clock
	col     columns
	place   int      // of this node in members
	members []member // by place
	outbox  Outbox
	effects Effects
	err     error // the first *MemberError; nothing is received, published or delivered after it
	wedged  bool
	trimmed []uint64 // the trim, once there is one

	// Sending.
	ready     []span // committed messages that are not yet published
	tail      uint64 // bytes of the own ring that are published
	freed     uint64 // own messages whose bytes are given back
	elsewhere uint64 // least Delivered of the other members

	// Delivering.
	seq        Seq           // the last message delivered
	timestamp  hlc.Timestamp // its timestamp, or Config.After
	acked      Slot          // beyond the last message received
	logged     Seq           // the last message logged and applied
	loggedTime hlc.Timestamp // its timestamp, or Config.After
	unpushed   int           // bytes of others' rings given back quietly
	unpushedN  int           // messages in them

	// Persistence and time.
	persistedElsewhere Seq           // least Persisted of the other members
	wantedSeq          Seq           // greatest WantPersisted of the other members
	timeFrontier       hlc.Timestamp // the greatest that TimeFrontier returned
}

// New makes the group of one view. The group's columns in the own row must be unused.
func New(cfg Config) (*Group, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := cfg.Table.Layout()
	g := &Group{
		cfg: cfg, table: cfg.Table, clock: cfg.Clock, members: make([]member, len(cfg.Members)),
		timestamp: cfg.After, loggedTime: cfg.After, timeFrontier: cfg.After,
		col: columns{
			tail: l.Tail(cfg.Group), sent: l.Sent(cfg.Group), delivered: l.Delivered(cfg.Group), persisted: l.Persisted(cfg.Group),
			frontier: l.Frontier(cfg.Group), wantPersisted: l.WantPersisted(cfg.Group), wantFrontier: l.WantFrontier(cfg.Group),
		},
	}
	for i, rank := range cfg.Members {
		g.members[i] = member{rank: rank, ring: cfg.Rings[i], stamp: cfg.After, frontier: cfg.After, limit: none}
		g.col.received = append(g.col.received, l.Received(cfg.Group, rank))
		if rank == g.table.Self() {
			g.place = i
		}
	}
	g.outbox = Outbox{ring: cfg.Rings[g.place], limit: uint64(cfg.MaxInFlight)}
	g.clock.Observe(cfg.After)
	return g, nil
}

// validate reports everything that is wrong with the configuration.
func (c Config) validate() error {
	var bad []string
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if c.Table == nil || c.Clock == nil {
		return errs.New(errs.Invalid, "multicast: Table and Clock must be given")
	}
	if l := c.Table.Layout(); int(c.Group) >= l.Groups {
		wrong("Group is %d of %d", c.Group, l.Groups)
	}
	here := false
	for i, r := range c.Members {
		here = here || r == c.Table.Self()
		if r < 0 || int(r) >= c.Table.Layout().Members || i > 0 && r <= c.Members[i-1] {
			wrong("Members[%d] is %d; ranks must ascend below %d", i, r, c.Table.Layout().Members)
		}
	}
	if !here {
		wrong("Members lacks this node, %d", c.Table.Self())
	}
	if len(c.Rings) != len(c.Members) {
		wrong("there are %d Rings for %d Members", len(c.Rings), len(c.Members))
	}
	for i, ring := range c.Rings {
		if n := len(ring); n != len(c.Rings[0]) || n < minRing || n > maxRing || n&(n-1) != 0 {
			wrong("Rings[%d] has %d bytes; all must have the same power of two from %d to %d", i, n, minRing, maxRing)
		}
	}
	if c.MaxInFlight < 0 || c.MaxBatch < 0 || c.MaxBatchBytes < 0 || c.MaxAhead < 0 || c.After < 0 {
		wrong("MaxInFlight %d, MaxBatch %d, MaxBatchBytes %d, MaxAhead %d and After %d must not be negative",
			c.MaxInFlight, c.MaxBatch, c.MaxBatchBytes, c.MaxAhead, c.After)
	}
	if bad != nil {
		return errs.New(errs.Invalid, "multicast: %s", strings.Join(bad, "; "))
	}
	return nil
}

// Outbox returns the sending side.
func (g *Group) Outbox() *Outbox { return &g.outbox }

// Step does all that the snapshot allows: it receives, gives up slots, publishes what was collected, and
// delivers. now is the physical clock. The effects are valid until the next Step and may be empty. An
// error is a *MemberError; from then on each Step returns it, and does nothing (M11).
func (g *Group) Step(s *sst.Snapshot, now hlc.Timestamp) (*Effects, error) {
	g.effects.Writes, g.effects.Deliveries, g.effects.More = g.effects.Writes[:0], g.effects.Deliveries[:0], false
	for i := range g.members {
		g.members[i].arrived = g.members[i].q.last
	}
	g.watchPersistence(s)
	if g.wedged || g.err != nil {
		return &g.effects, g.err
	}
	// Peers are judged by the clock as it was moved by all that was accepted before, so that a step back
	// of this node's physical clock does not accuse them.
	now = max(now, g.clock.Last())
	for i := range g.members {
		m := &g.members[i]
		if i == g.place {
			continue
		}
		err := g.checkRow(s, i, m, now)
		if err == nil {
			err = g.receive(s, i, m, now)
		}
		if err != nil {
			g.err = &MemberError{Rank: m.rank, Err: err}
			return &g.effects, g.err
		}
	}
	g.elsewhere = none
	for i := range g.members {
		if i != g.place {
			g.elsewhere = min(g.elsewhere, s.Get(g.members[i].rank, g.col.delivered))
		}
	}
	g.free()
	g.publish(now)
	g.deliverStable(s)
	g.watchTime(s, now)
	g.effects.More = g.effects.More || g.freed != g.outbox.finished || g.frees()
	return &g.effects, nil
}
