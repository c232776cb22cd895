package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// turn is one create+write+close, by the monotonic clock.
type turn struct{ begin, end int64 }

// createFiles is the agent that makes small files, one after the other, and says when each was begun and closed.
func createFiles(args []string) error {
	end := asked()
	for k := 0; ; k++ {
		t := turn{begin: monotonic()}
		f, err := os.OpenFile(filepath.Join(args[0], fmt.Sprint("r", k%100)), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString("some text\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		t.end = monotonic()
		fmt.Println(t.begin, t.end)
		select {
		case <-end:
			return nil
		default:
		}
	}
}

// turns are those of one agent.
type turns struct {
	*process
	mu  sync.Mutex
	all []turn // guarded by mu
}

func (c *cluster) create(node int, dir string) *turns {
	s := &turns{process: spawn(c.t, "create", c.path(node, dir))}
	s.follow(func(line string) {
		var t turn
		if n, _ := fmt.Sscan(line, &t.begin, &t.end); n == 2 {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.all = append(s.all, t)
		}
	})
	return s
}

// since returns the turns that were begun at or after a moment.
func (s *turns) since(begin int64) []turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.all, begin, func(t turn, at int64) int { return int(min(1, max(-1, t.begin-at))) })
	return slices.Clone(s.all[i:])
}

// times collects measurements of one kind.
type times []time.Duration

func (ts times) String() string {
	if len(ts) == 0 {
		return "none"
	}
	at := func(p int) time.Duration { return ts.at(p).Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, least %v, most %v of %d", at(50), at(99), at(0), at(100), len(ts))
}

// at returns the percentile p of them, which are not none.
func (ts times) at(p int) time.Duration {
	s := slices.Sorted(slices.Values(ts))
	return s[max(0, (len(s)*p+99)/100-1)]
}

// How long it takes to go on: without a node that was killed, with one that is back, and while one joins. The bounds are
// those of a busy machine.
func TestRecoveryTimes(t *testing.T) {
	c, rng := start(t, devOptions), newRand(t)
	reader := spawn(t, "calls")
	reader.must(t, call{Op: "create", Path: c.path(1, "known")})
	var failover, back, stall, usual times
	for trial := range *trialCount {
		order := perm(rng)
		victim, writer := order[0], order[1]
		dir := fmt.Sprint("trial", trial)
		reader.must(t, call{Op: "mkdir", Path: c.path(writer, dir)})
		loop := c.create(writer, dir)
		waitFor(t, "the writer", func() bool { return len(loop.since(0)) > 50 })
		usual = append(usual, longest(loop.since(0)))

		killed := monotonic()
		c.kill(victim)
		waitFor(t, "the writer to go on", func() bool { return len(loop.since(killed)) > 50 })
		failover = append(failover, time.Duration(loop.since(killed)[0].end-killed))

		restarted := monotonic()
		c.restart(victim)
		got := reader.must(t, call{Op: "stat", Path: c.path(victim, "known")})
		back = append(back, time.Duration(got.End-restarted))
		after := monotonic()
		waitFor(t, "the writer to go on", func() bool { return len(loop.since(after)) > 50 })
		stall = append(stall, longest(loop.since(restarted)))
		loop.finish()
	}
	t.Logf("kill -9 to the next write: %v", failover)
	t.Logf("start to the next read: %v", back)
	t.Logf("longest write while a node joins: %v", stall)
	t.Logf("longest write before: %v", usual)
	if most := slices.Max(failover); most > 2*suspicion {
		t.Errorf("F2: the others went on after %v", most)
	}
}

func longest(all []turn) (most time.Duration) {
	for _, t := range all {
		most = max(most, time.Duration(t.end-t.begin))
	}
	return most
}
