package hlc

import (
	"fmt"
	"math"
	"time"
)

// Timestamp is a moment in nanoseconds since the unix epoch. 0 means before everything.
type Timestamp int64

// Latest is later than every timestamp that a message can have.
const Latest Timestamp = math.MaxInt64

// FromTime converts a wall-clock time. Times outside of the years 1678 to 2262 are clamped.
func FromTime(t time.Time) Timestamp {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return Latest
	}
	return Timestamp(t.UnixNano())
}

// Time converts to a wall-clock time in UTC.
func (t Timestamp) Time() time.Time { return time.Unix(0, int64(t)).UTC() }

// String prints RFC 3339 in UTC with nanoseconds.
func (t Timestamp) String() string { return t.Time().Format("2006-01-02T15:04:05.000000000Z07:00") }

// Clock is one node's hybrid clock. The zero value is ready. Its owner serialises the calls.
type Clock struct{ last Timestamp }

// Now returns a timestamp after every one that was returned or observed before (H1, H2), and not
// before physical.
func (c *Clock) Now(physical Timestamp) Timestamp {
	c.last = max(c.last+1, physical)
	return c.last
}

// Observe moves the clock past t, which came from another node or from a delivered message.
func (c *Clock) Observe(t Timestamp) { c.last = max(c.last, t) }

// Last returns the greatest timestamp returned or observed so far.
func (c *Clock) Last() Timestamp { return c.last }

// SkewError says that a peer's clock is too far from this node's.
type SkewError struct {
	Theirs, Ours Timestamp
	Bound        time.Duration
}

func (e *SkewError) Error() string {
	return fmt.Sprintf("clock differs by %v (theirs %v, ours %v), more than the allowed %v",
		time.Duration(e.Theirs-e.Ours), e.Theirs, e.Ours, e.Bound)
}

// Check returns a *SkewError if theirs, just received, differs from the physical clock by more than
// bound (H3).
func Check(theirs, physical Timestamp, bound time.Duration) error {
	if d := time.Duration(theirs - physical); d > bound || d < -bound {
		return &SkewError{Theirs: theirs, Ours: physical, Bound: bound}
	}
	return nil
}
