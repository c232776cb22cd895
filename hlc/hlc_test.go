package hlc

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// H1 and H2 under a physical clock that stands, jumps forward and steps back.
func TestClockIsMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var c Clock
	physical, last := Timestamp(1_000), Timestamp(0)
	for range 100_000 {
		switch rng.IntN(4) {
		case 0:
			physical += Timestamp(rng.IntN(1000))
		case 1:
			physical -= Timestamp(rng.IntN(1000))
		case 2:
			seen := last + Timestamp(rng.IntN(500)) - 250
			c.Observe(seen)
			if now := c.Now(physical); now <= seen || now <= last {
				t.Fatalf("H2: Now() = %d after observing %d and returning %d", now, seen, last)
			} else {
				last = now
			}
		default:
			now := c.Now(physical)
			if now <= last || now < physical {
				t.Fatalf("H1: Now(%d) = %d after %d", physical, now, last)
			}
			last = now
		}
	}
}

// H3: a clock that is off in either direction is refused.
func TestCheck(t *testing.T) {
	at := FromTime(time.Date(2026, 11, 22, 10, 42, 0, 0, time.UTC))
	bound := 500 * time.Millisecond
	for _, d := range []time.Duration{0, bound, -bound} {
		if err := Check(at+Timestamp(d), at, bound); err != nil {
			t.Errorf("off by %v: %v", d, err)
		}
	}
	for _, d := range []time.Duration{bound + 1, -bound - 1, time.Hour} {
		var skew *SkewError
		if err := Check(at+Timestamp(d), at, bound); !errors.As(err, &skew) {
			t.Errorf("off by %v: got %v, want a SkewError", d, err)
		}
	}
}

func TestFromTimeClamps(t *testing.T) {
	if got := FromTime(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)); got != Latest {
		t.Errorf("year 9999: %d", got)
	}
	if got := FromTime(time.Unix(5, 7)); got != 5_000_000_007 || got.String() != "1970-01-01T00:00:05.000000007Z" {
		t.Errorf("got %d, %v", got, got)
	}
}
