package sst

import (
	"fmt"

	"dfs/errs"
	"dfs/ids"
)

// Limits of what a row may claim, far beyond what a view can reach, and low enough that positions and
// sums made of them never overflow.
const (
	MaxSlots = 1 << 48   // Sent and Received
	MaxWord  = 1<<63 - 1 // every word
)

// Snapshot is a copy of a table. Use one for the whole life of its table: its rows are checked against
// what it held before.
type Snapshot struct {
	layout  Layout
	row     int
	words   []uint64
	changed bool
}

// NewSnapshot returns a snapshot of l's size in which every word is 0.
func NewSnapshot(l Layout) *Snapshot {
	return &Snapshot{layout: l, row: l.RowWords(), words: make([]uint64, l.Words())}
}

// Layout returns where the columns are.
func (s *Snapshot) Layout() Layout { return s.layout }

// Get returns a word of member m's row.
func (s *Snapshot) Get(m ids.Rank, c Column) uint64 { return s.words[int(m)*s.row+int(c)] }

// Changed reports whether the last copy found a row of another member changed.
func (s *Snapshot) Changed() bool { return s.changed }

// RowError says that a member's row makes no sense; the member is broken.
type RowError struct {
	Rank ids.Rank
	Err  error // of kind errs.Corrupt
}

func (e *RowError) Error() string { return fmt.Sprintf("row of member %d: %v", e.Rank, e.Err) }

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// Snapshot copies the table into s (S3, S4). If the row of a member makes no sense, s keeps what it held of
// that row, the row is frozen, and a *RowError names the member (S6); everything else is copied as
// usual. A second such row is reported by the next call.
func (t *Table) Snapshot(s *Snapshot) error {
	var bad error
	s.changed = false
	for m := range t.layout.Members {
		prev, src := s.words[m*s.row:(m+1)*s.row], t.mem[m*s.row:(m+1)*s.row]
		if m == int(t.self) {
			copy(prev, src)
			continue
		}
		if t.frozen[m] || !load(t.buf, src, prev) {
			continue
		}
		if err := t.layout.Validate(t.self, ids.Rank(m), prev, t.buf, t.own); err != nil {
			if bad == nil {
				bad = &RowError{Rank: ids.Rank(m), Err: err}
				t.frozen[m] = true
			}
			continue
		}
		copy(prev, t.buf)
		s.changed = true
	}
	return bad
}

// Validate checks the row cur of member m, as it arrived at member self, against the row prev that
// was taken before and against self's own row (S6). It fails with errs.Corrupt.
func (l Layout) Validate(self, m ids.Rank, prev, cur, own []uint64) error {
	wedged := l.Wedged()
	for i, v := range cur {
		if v < prev[i] || v > MaxWord {
			return errs.New(errs.Corrupt, "word %d was %d and is %d", i, prev[i], v)
		}
	}
	if cur[wedged] > 1 {
		return errs.New(errs.Corrupt, "wedged is %d", cur[wedged])
	}
	if v, limit := cur[l.Echo(self)], own[l.Heartbeat()]; v > limit {
		return errs.New(errs.Corrupt, "heard heartbeat %d of %d", v, limit)
	}
	for g := range l.Groups {
		if err := l.validateGroup(ids.Group(g), self, m, cur, own); err != nil {
			return err
		}
		if prev[wedged] == 0 {
			continue
		}
		// What stands below Wedged was at least as fresh as it, hence final.
		for c := l.Tail(ids.Group(g)); c <= l.Frontier(ids.Group(g)); c++ {
			if cur[c] != prev[c] && c != l.Delivered(ids.Group(g)) && c != l.Persisted(ids.Group(g)) {
				return errs.New(errs.Corrupt, "word %d went from %d to %d after the member had wedged", c, prev[c], cur[c])
			}
		}
	}
	return nil
}

// validateGroup checks what the columns of one group say of each other and of self.
func (l Layout) validateGroup(g ids.Group, self, m ids.Rank, cur, own []uint64) error {
	sent := cur[l.Sent(g)]
	if sent > MaxSlots {
		return errs.New(errs.Corrupt, "group %d: sent %d slots", g, sent)
	}
	for s := range l.Members {
		if v := cur[l.Received(g, ids.Rank(s))]; v > MaxSlots {
			return errs.New(errs.Corrupt, "group %d: received %d slots of member %d", g, v, s)
		}
	}
	if v, limit := cur[l.Received(g, self)], own[l.Sent(g)]; v > limit {
		return errs.New(errs.Corrupt, "group %d: received %d slots of %d that were sent here", g, v, limit)
	}
	// Sent stands below Received, so it is at least as fresh (S3).
	if v := cur[l.Received(g, m)]; v > sent {
		return errs.New(errs.Corrupt, "group %d: received %d of its own slots and sent %d", g, v, sent)
	}
	delivered := cur[l.Delivered(g)]
	for _, c := range [...]Column{l.Persisted(g), l.WantPersisted(g)} {
		if v := cur[c]; v > ids.MaxSeq {
			return errs.New(errs.Corrupt, "group %d: word %d is message %d", g, c, v)
		}
	}
	// Every message takes a position, so there are at least as many positions as messages.
	if v := cur[l.Persisted(g)]; v > delivered {
		return errs.New(errs.Corrupt, "group %d: persisted %d messages of %d positions delivered", g, v, delivered)
	}
	return nil
}
