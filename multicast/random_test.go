package multicast

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dfs/hlc"
	"dfs/record"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay the random test with this seed only")
	seedsFlag = flag.Int("seeds", 40, "how many seeds the random test runs")
)

// TestRandom runs groups of 1 to 7 members through several views, with links that carry as they please, and
// with referees (see harness_test.go) for M1 to M12. A failure prints its seed; replay it with -seed.
func TestRandom(t *testing.T) {
	first, count := uint64(1), *seedsFlag
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	for i := range count {
		seed := first + uint64(i)
		ok := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runSeed(t, seed) })
		if !ok {
			t.Fatalf("replay with: go test ./multicast -run TestRandom -seed %d", seed)
		}
	}
}

func runSeed(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 42))
	n := 1 + rng.IntN(7)
	w := newWorld(t, rng, n, 1<<(12+rng.IntN(4)))
	w.spare = rng.IntN(2)
	w.limits = Config{
		MaxInFlight: []int{0, 1, 3, 20}[rng.IntN(4)], MaxBatch: []int{0, 1, 7}[rng.IntN(3)],
		MaxBatchBytes: []int{0, 1, 5000}[rng.IntN(3)],
	}
	unsent := map[int][]record.Record{}
	for views := 1 + rng.IntN(3); ; views-- {
		w.install()
		// Who died with unsent messages is gone; the others send them again before anything new.
		for _, a := range w.actors {
			unsent[a.id] = w.again(a, unsent[a.id])
		}
		w.run(200+rng.IntN(800), unsent)
		if views == 0 {
			break
		}
		w.endOfView(unsent)
	}
	w.settle()
	for rest := true; rest; {
		rest = false
		for _, a := range w.actors {
			unsent[a.id] = w.again(a, unsent[a.id])
			rest = rest || len(unsent[a.id]) > 0
		}
		w.settle()
	}
	w.finish()
}

// run does random things in the view.
func (w *world) run(actions int, unsent map[int][]record.Record) {
	busy := w.rng.IntN(len(w.actors)) + 1 // how many members send
	eager := w.rng.IntN(10)               // how often links carry
	lazy := 1 + w.rng.IntN(20)            // how seldom what was delivered is logged at once
	large := w.rng.IntN(3)                // how large messages may be
	for range actions {
		a := w.actors[w.rng.IntN(len(w.actors))]
		if a.dead {
			continue
		}
		w.now += hlc.Timestamp(w.rng.IntN(50))
		if w.rng.IntN(50) == 0 {
			a.skew = hlc.Timestamp(w.rng.IntN(2000) - 1000)
		}
		switch action := w.rng.IntN(20); {
		case action < 4:
			if unsent[a.id] = w.again(a, unsent[a.id]); a.place < busy && len(unsent[a.id]) == 0 {
				w.reserve(a, w.rng.IntN(200), []int{0, w.rng.IntN(300), w.rng.IntN(w.ring / 4)}[w.rng.IntN(1+large)])
			}
		case action < 8 && len(a.open) > 0:
			w.commit(a, w.rng.IntN(len(a.open)))
		case action < 12:
			w.step(a, w.rng.IntN(20) == 0)
		case action == 12 && len(a.unlogged) > 0 && w.rng.IntN(lazy) == 0:
			w.log(a, 1+w.rng.IntN(len(a.unlogged)))
		case action == 13:
			w.timeAndPersistence(a)
		default:
			for range eager {
				w.carry(a, w.rng.IntN(len(w.actors)), 1+w.rng.IntN(1<<w.rng.IntN(12)))
			}
		}
		if len(a.unlogged) > 0 && w.rng.IntN(lazy) == 0 {
			w.log(a, len(a.unlogged))
		}
	}
}

// timeAndPersistence plays with what is not needed for delivery, and checks what it says.
func (w *world) timeAndPersistence(a *actor) {
	switch w.rng.IntN(5) {
	case 0:
		a.g.PromiseFrontier(w.now + a.skew)
	case 1:
		a.g.WantFrontier(w.now + a.skew)
	case 2:
		logged, _ := a.g.LastLogged()
		if p := Seq(w.rng.IntN(int(logged) + 1)); uint64(p) > a.table.Get(a.table.Layout().Persisted(1)) {
			a.g.SetPersisted(p)
		}
	case 3:
		logged, _ := a.g.LastLogged()
		a.g.WantPersisted(logged)
	}
	w.askFrontier(a)
	all := a.g.PersistedByAll()
	for _, b := range w.actors {
		if p := b.table.Get(b.table.Layout().Persisted(1)); uint64(all) > p {
			w.t.Fatalf("node %d says that all persisted %d, node %d persisted %d", a.id, all, b.id, p)
		}
	}
}

// endOfView lets some members die and the others agree on the trim: all of them wedge, each when it comes to it,
// and take the minimum once they see that all have (S3, M4).
func (w *world) endOfView(unsent map[int][]record.Record) {
	survivors := w.actors[:0:0]
	for _, a := range w.actors {
		if a.dead = w.rng.IntN(4) == 0; !a.dead {
			survivors = append(survivors, a)
		}
	}
	if len(survivors) == 0 {
		w.actors[0].dead = false
		survivors = w.actors[:1]
	}
	for _, i := range w.rng.Perm(len(survivors)) {
		a := survivors[i]
		w.run(w.rng.IntN(60), unsent)
		for len(a.open) > 0 {
			w.commit(a, 0)
		}
		a.g.Wedge()
		a.table.Set(a.table.Layout().Wedged(), 1)
		w.send(a, &Effects{}, true)
	}
	w.run(w.rng.IntN(60), unsent)
	// What the dead had sent arrives, or does not; between survivors everything does.
	for _, a := range w.actors {
		for to := range w.actors {
			for w.carry(a, to, 1<<w.rng.IntN(12)) {
				if a.dead && w.rng.IntN(10) == 0 {
					break
				}
			}
		}
	}
	w.trim(survivors, unsent)
	for _, a := range w.actors {
		// M12 and M8 for the dead: what they delivered is delivered, and what they believed to be the past is.
		if a.seen > len(w.order) {
			w.t.Fatalf("M12: node %d delivered %d messages, survivors %d", a.id, a.seen, len(w.order))
		}
		if a.dead && a.seen < len(w.order) && w.order[a.seen].time <= a.frontier {
			w.t.Fatalf("M8: survivors deliver %v, dead node %d had time frontier %d", w.order[a.seen], a.id, a.frontier)
		}
	}
	w.actors = survivors
}

func (w *world) trim(survivors []*actor, unsent map[int][]record.Record) {
	var agreed []uint64
	for _, a := range survivors {
		w.step(a, false)
		l := a.table.Layout()
		trim := slices.Repeat([]uint64{none}, len(w.actors))
		for _, b := range survivors {
			if a.snap.Get(b.rank, l.Wedged()) != 1 {
				w.t.Fatalf("node %d does not see node %d wedged", a.id, b.id)
			}
			for i := range trim {
				trim[i] = min(trim[i], a.snap.Get(b.rank, l.Received(1, w.actors[i].rank)))
			}
		}
		if agreed == nil {
			agreed = trim
		}
		if !slices.Equal(agreed, trim) {
			w.t.Fatalf("M4: trim %v at node %d, %v elsewhere", trim, a.id, agreed)
		}
	}
	for _, a := range w.actors {
		for to := range w.actors {
			a.links[to].parcels = nil // the links are cut before delivery patches the rings
		}
	}
	for _, a := range survivors {
		deliveries, err := a.g.Trim(agreed)
		if err != nil {
			w.t.Fatalf("node %d: %v", a.id, err)
		}
		for _, d := range deliveries {
			w.delivered(a, d, true)
		}
		a.unlogged = append(a.unlogged, deliveries...)
		w.log(a, len(a.unlogged))
		if again, err := a.g.Trim(agreed); err != nil || len(again) != 0 {
			w.t.Fatalf("M12: second trim delivers %d, %v", len(again), err)
		}
		back, size := a.g.Unsent(), 0
		for _, r := range back {
			size += len(r)
		}
		if size > w.ring {
			w.t.Fatalf("M9: node %d: %d bytes to be sent again do not fit an empty ring", a.id, size)
		}
		unsent[a.id] = append(back, unsent[a.id]...)
	}
	for _, a := range survivors {
		if a.seen != len(w.order) {
			w.t.Fatalf("M12: node %d delivered %d messages, others %d", a.id, a.seen, len(w.order))
		}
	}
}

// finish checks that nothing is missing at the end, and that everything moves that should.
func (w *world) finish() {
	for _, a := range w.actors {
		if a.seen != len(w.order) {
			w.t.Fatalf("node %d delivered %d of %d", a.id, a.seen, len(w.order))
		}
		if w.last[a.id] != a.sent {
			w.t.Fatalf("M9: of node %d's %d messages %d were delivered", a.id, a.sent, w.last[a.id])
		}
	}
	// Room comes back: anyone can send the largest message, again and again.
	for range 6 {
		for _, a := range w.actors {
			if !w.reserve(a, 64, w.ring/4-64-64-64) {
				w.t.Fatalf("M1: node %d has no room in a silent group", a.id)
			}
		}
		w.settle()
	}
	// Nobody waits for a null: time reaches what is wanted, and persistence the last message (M6).
	w.now += 10_000
	for _, a := range w.actors {
		a.g.WantFrontier(w.now)
		logged, _ := a.g.LastLogged()
		a.g.WantPersisted(logged)
	}
	w.settle()
	for _, a := range w.actors {
		if logged, _ := a.g.LastLogged(); a.g.SyncNow() {
			a.g.SetPersisted(logged)
		}
	}
	w.settle()
	for _, a := range w.actors {
		if f := w.askFrontier(a); f < w.now {
			w.t.Fatalf("M6: node %d: time frontier %d, wanted %d", a.id, f, w.now)
		}
		if p := a.g.PersistedByAll(); int(p) != len(w.order) {
			w.t.Fatalf("M6: node %d: %d of %d messages persisted by all", a.id, p, len(w.order))
		}
	}
}
