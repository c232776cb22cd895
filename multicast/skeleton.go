package multicast

import (
	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
)

// The exported functions, as they are being written:
var _ = []any{
	New, (*Group).Outbox, (*Group).Collect, (*Group).Step, (*Group).Arrived, (*Group).Logged, (*Group).LastLogged,
	(*Group).SetPersisted, (*Group).PersistedByAll, (*Group).WantPersisted, (*Group).TimeFrontier, (*Group).PromiseFrontier, (*Group).WantFrontier,
	(*Group).Wedge, (*Group).ReceivedVector, (*Group).Trim, (*Group).Unsent,
	(*Outbox).Fits, (*Outbox).Reserve, (*Outbox).Commit, (*Outbox).Open,
}

// New makes the group of one view. The own row of the table must be new.
func New(cfg Config) (*Group, error) { panic("being written") }

// Group is one member's side of one total order in one view.
type Group struct{}

// Fits reports whether a message can ever be sent: it is at most a quarter of the ring.
func (o *Outbox) Fits(opLen, dataLen int) bool { panic("being written") }

// Reserve gives room for a message of that size, or false while there is none, or for ever once wedged.
func (o *Outbox) Reserve(opLen, dataLen int) (Reservation, bool) { panic("being written") }

// Commit says that the record in r.Buf is complete. Messages are published in the order of their
// reservations, up to the first that is not committed (M9), so commit soon.
func (o *Outbox) Commit(r Reservation) { panic("being written") }

// Open returns the number of reservations not yet committed.
func (o *Outbox) Open() int { panic("being written") }

// Outbox returns the sending side.
func (g *Group) Outbox() *Outbox { panic("being written") }

// Collect, with the outbox, takes over what was committed, and gives back ring room; it reports
// whether room was given back.
func (g *Group) Collect() (room bool) { panic("being written") }

// Step does all that the snapshot allows: receives, gives up slots, publishes what was collected, delivers.
// now is the physical clock. An error is a *MemberError; the effects are valid nevertheless.
func (g *Group) Step(s *sst.Snapshot, now hlc.Timestamp) (*Effects, error) { panic("being written") }

// Arrived calls fn with each message of other members that the last Step counted as received.
func (g *Group) Arrived(fn func(sender ids.Rank, r record.Record)) { panic("being written") }

// Logged says that all deliveries up to seq are logged and applied here. Their records are given up.
func (g *Group) Logged(seq Seq) { panic("being written") }

// LastLogged returns the last message reported by Logged.
func (g *Group) LastLogged() (Seq, hlc.Timestamp) { panic("being written") }

// SetPersisted says that all messages up to seq are durable here.
func (g *Group) SetPersisted(seq Seq) { panic("being written") }

// PersistedByAll returns the last message that every member had persisted as of the last Step.
func (g *Group) PersistedByAll() Seq { panic("being written") }

// WantPersisted asks all members to persist up to seq soon.
func (g *Group) WantPersisted(seq Seq) { panic("being written") }

// TimeFrontier returns the time up to which everything is logged and applied here: no message at
// or before it will be delivered any more (M8).
func (g *Group) TimeFrontier() hlc.Timestamp { panic("being written") }

// PromiseFrontier promises that this member stamps nothing at or before now any more.
func (g *Group) PromiseFrontier(now hlc.Timestamp) { panic("being written") }

// WantFrontier asks all members to promise t.
func (g *Group) WantFrontier(t hlc.Timestamp) { panic("being written") }

// Wedge, with the outbox, ends receiving, publishing, delivering and promising (M4), and all reservations to come.
func (g *Group) Wedge() { panic("being written") }

// ReceivedVector appends to dst how many slots of each member, by place, were received here.
func (g *Group) ReceivedVector(dst []uint64) []uint64 { panic("being written") }

// Trim delivers what remains below the trim, in order; trim[i] is the number of slots of the member at place i
// that all survivors received. It fails with errs.Corrupt if that contradicts what happened here.
func (g *Group) Trim(trim []uint64) ([]Delivery, error) { panic("being written") }

// Unsent, with the outbox, returns the own messages that were not delivered, in the order of their
// reservations. All reservations must be committed.
func (g *Group) Unsent() []record.Record { panic("being written") }
