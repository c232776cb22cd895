package multicast

import (
	"fmt"

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

// Effects are what a step asks of its caller. They are valid until the next Step.
type Effects struct {
	Writes     []Range    // of the own ring, at most 2, to be written at every other member before the row
	Deliveries []Delivery // to be logged and applied in this order, then reported by Logged
	More       bool       // the cap on a batch was reached: step again at once
	SyncNow    bool       // someone waits for messages logged here that are not persisted here
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

	MaxInFlight   int           // own messages reserved and not yet logged everywhere; 0 means 65536
	MaxBatchBytes int           // bytes of records delivered in a step; 0 means 8 MiB
	MaxAhead      hlc.Timestamp // how far beyond the clock a peer's time may lie; 0 means 10 seconds
}

const (
	defaultInFlight   = 1 << 16
	defaultBatchBytes = 8 << 20
	defaultAhead      = hlc.Timestamp(10e9)
	minRing           = 1 << 12
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
	if c.MaxBatchBytes == 0 {
		c.MaxBatchBytes = defaultBatchBytes
	}
	if c.MaxAhead == 0 {
		c.MaxAhead = defaultAhead
	}
	return c
}
