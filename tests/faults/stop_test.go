package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"dfs/devcluster"
	"dfs/node"

	"golang.org/x/sys/unix"
)

var devOptions = devcluster.Options{}

// newRand is seeded by the time; real processes do not replay.
func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// perm returns the nodes in a random order.
func perm(rng *rand.Rand) []int {
	order := rng.Perm(size)
	for i := range order {
		order[i]++
	}
	return order
}

// suspicion is the silence after which a node is taken to be gone, as the nodes have it by default.
const suspicion = 2 * time.Second

// A node is stopped for any time and goes on: it serves nothing stale, its mount and the files open there go on (F3).
func TestStoppedNode(t *testing.T) {
	t.Parallel()
	// The files stay open, so only in strict mode others see a write when it has returned.
	c, rng := start(t, devcluster.Options{Consistency: node.Strict}), newRand(t)
	stops := []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 1400 * time.Millisecond, 1600 * time.Millisecond,
		1900 * time.Millisecond, 2100 * time.Millisecond, 2500 * time.Millisecond, 6 * time.Second}
	if *longStop {
		stops = append(stops, 30*time.Second)
	}
	var reads, held [size + 1]*process
	for n := 1; n <= size; n++ {
		reads[n], held[n] = spawn(t, "calls"), spawn(t, "calls")
	}
	for i, d := range stops {
		order := perm(rng)
		victim, writer := order[0], order[1]
		name := fmt.Sprint("f", i)
		reads[writer].must(t, call{Op: "create", Path: c.path(writer, name)})
		reads[writer].must(t, call{Op: "put", Path: c.path(writer, name), Data: "before"})
		held[victim].must(t, call{Op: "hold", Path: c.path(victim, name)})
		held[victim].must(t, call{Op: "heldget", Path: c.path(victim, name)}) // whatever is kept here is kept now

		c.signal(victim, unix.SIGSTOP)
		began := time.Now()
		put := reads[writer].later(call{Op: "put", Path: c.path(writer, name), Data: "during"})
		var early <-chan answer
		if d > suspicion {
			await(t, "F2: put on a survivor", put)
			t.Logf("stop of %v: the others went on after %v", d, time.Since(began))
			// Asked before it goes on, of a file that was changed already.
			early = reads[victim].later(call{Op: "get", Path: c.path(victim, name)})
		}
		pass(d - time.Since(began))
		c.signal(victim, unix.SIGCONT)
		if d <= suspicion {
			await(t, "put", put)
			early = reads[victim].later(call{Op: "get", Path: c.path(victim, name)})
		}
		open := held[victim].later(call{Op: "heldget", Path: c.path(victim, name)})
		for what, ch := range map[string]<-chan answer{"by its name": early, "held open": open} {
			if got := await(t, "get after the stop", ch); got.Data != "during" {
				t.Errorf("F3: after a stop of %v node %d reads %q of the file %s", d, victim, got.Data, what)
			}
		}
		c.awaitMembers(victim, size)
		held[victim].must(t, call{Op: "heldput", Path: c.path(victim, name), Data: "after!"})
		if got := reads[writer].must(t, call{Op: "get", Path: c.path(writer, name)}); got.Data != "after!" {
			t.Errorf("F3: node %d wrote after its stop of %v, node %d reads %q", victim, d, writer, got.Data)
		}
	}
}
