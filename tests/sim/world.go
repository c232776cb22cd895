package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"dfs/fabric/sim"
	"dfs/ids"
	"dfs/index"
	"dfs/nvm"
	"dfs/shards"
	"dfs/versionlog"
	"dfs/views"
)

// world is one run: the machines, the network, the queue of what is due, and the referees.
type world struct {
	seed  uint64
	rng   *rand.Rand // of faults and delays; clients have their own
	trace trace
	count counters

	machines       []*machine
	nodes          []views.Peer
	views          map[ids.ViewID]views.View     // as they were installed
	trims          map[ids.ViewID][]*views.Trim  // where they were to end
	ballots        map[ids.ViewID]views.Ballot   // the last one that a proposal of that was accepted in
	asked          map[views.Ballot][]ids.NodeID // who was asked for a promise in a ballot
	serving        ids.ViewID                    // the newest view that delivered anything or answered a read of the present
	net            *sim.Network
	clientsPerNode int
	ringBytes      int
	segmentSize    int64
	replicas       int
	spares         int  // machines that are not configured at first; if there are any, the configuration changes
	rots           bool // bits on disks change by themselves
	changes        *changes
	quiet          bool // clients do nothing new
	delays         delays
	faults         *faults
	program        *program

	order *order
	reads *reads
	rows  *rows
}

// counters sum up a run.
type counters struct {
	changed, replaced, rotten, repaired, unread, homes, steps, ops, calls, reads, past, syncs, crashes, powerFailures, views, breaks, cuts, shortened int
	simulated                                                                                                                                         time.Duration
}

func (c *counters) add(o counters) {
	c.steps += o.steps
	c.changed += o.changed
	c.replaced += o.replaced
	c.rotten += o.rotten
	c.repaired += o.repaired
	c.unread += o.unread
	c.homes += o.homes
	c.ops += o.ops
	c.calls += o.calls
	c.reads += o.reads
	c.past += o.past
	c.syncs += o.syncs
	c.crashes += o.crashes
	c.powerFailures += o.powerFailures
	c.views += o.views
	c.breaks += o.breaks
	c.cuts += o.cuts
	c.shortened += o.shortened
	c.simulated += o.simulated
}

// now is the virtual time.
func (w *world) now() time.Duration { return time.Duration(w.net.Now()) }

// at has something done at a time.
func (w *world) at(t time.Duration, fn func()) { w.net.At(int64(t), fn) }

// after has something done a while later.
func (w *world) after(d time.Duration, fn func()) { w.at(w.now()+d, fn) }

// runUntil lets everything happen up to a time, or until stop says so.
func (w *world) runUntil(end time.Duration, stop func() bool) bool {
	over := false
	w.at(end, func() { over = true })
	for !over && w.net.Step() {
		if stop != nil && stop() {
			return true
		}
	}
	return false
}

func (w *world) note(node ids.NodeID, what string, a, b uint64) {
	w.trace.add(happening{w.now(), node, what, a, b})
}

// memories returns the nodes that can tell where a view ended: they were members of it in their present life, so they have
// received whatever any member of it delivered; and no proposal was accepted of an end that they cannot reach, because
// another survivor, who had received more, was the only one to be asked.
func (w *world) memories(v ids.ViewID) (nodes []ids.NodeID) {
	view, rows := w.views[v], w.rows.view(v)
	for rank, member := range view.Members {
		m := w.machines[member.Node-1]
		if m.node == nil || m.life != member.Incarnation {
			continue
		}
		reaches := true
		for _, trim := range w.trims[v] {
			for r, upto := range trim.Upto[0] {
				reaches = reaches && rows.rows[rank][rows.layout.Received(0, ids.Rank(r))] >= upto
			}
		}
		if reaches {
			nodes = append(nodes, m.id)
		} else {
			w.count.shortened++
		}
	}
	return nodes
}

// keepersOf returns who keeps a shard by a set of nodes.
func (w *world) keepersOf(nodes []ids.NodeID, sub ids.Subgroup) []ids.NodeID {
	replicas := w.replicas
	if replicas == 0 {
		replicas = shards.DefaultReplicas
	}
	return shards.Keepers(nodes, sub, replicas)
}

// dataAway reports whether of some shard none of the nodes, which remember view v, has the data that it delivered last and
// takes part in what m does: it was asked in the last ballot about the end of v, or, if there was none, has links to all
// that m has links to.
func (w *world) dataAway(m *machine, v ids.ViewID, nodes []ids.NodeID) bool {
	view := w.views[v]
	linked := func(a, b ids.NodeID) bool { return a == b || w.net.Connected(a, b) }
	there := func(n ids.NodeID) bool {
		if b, ok := w.ballots[v]; ok {
			return slices.Contains(nodes, n) && slices.Contains(w.asked[b], n)
		}
		return slices.Contains(nodes, n) && !slices.ContainsFunc(w.machines, func(o *machine) bool {
			return o.node != nil && linked(o.id, m.id) && !linked(o.id, n)
		})
	}
	for sub := range ids.Subgroup(dataShards + 1) {
		layouts := view.Layouts()
		keep := w.keepersOf(layouts[len(layouts)-1], sub)
		if !slices.ContainsFunc(keep, there) {
			return true
		}
	}
	return false
}

// accepted notes where a view is to end by a proposal that a node has accepted.
func (w *world) accepted(d views.Durable) {
	p := d.Accepted
	if p == nil {
		return
	}
	if p.Trim != nil {
		w.trims[p.Base.ID] = append(w.trims[p.Base.ID], p.Trim)
	}
	if p.Ballot.Compare(w.ballots[p.Base.ID]) > 0 {
		w.ballots[p.Base.ID] = p.Ballot
	}
}

// failure is what a referee says.
type failure struct{ text string }

func (w *world) fail(format string, args ...any) { panic(failure{fmt.Sprintf(format, args...)}) }

func newWorld(seed uint64) *world {
	w := &world{seed: seed, views: map[ids.ViewID]views.View{}, trims: map[ids.ViewID][]*views.Trim{},
		ballots: map[ids.ViewID]views.Ballot{}, asked: map[views.Ballot][]ids.NodeID{}, rng: rand.New(rand.NewPCG(seed, 0xdf5))}
	size := pick(w.rng, 1, 3, 3, 3, 3, 3, 3, 5)
	// Drawn apart, so that the other seeds stay what they were.
	if own := rand.New(rand.NewPCG(seed, 0x1a7)); own.IntN(3) == 0 {
		size, w.replicas = pick(own, 3, 4, 4, 5, 5), pick(own, 1, 2, 2, 2, 3)
	}
	if own := rand.New(rand.NewPCG(seed, 0x5a7e)); own.IntN(8) == 0 {
		w.spares = own.IntN(4)
		w.rots = w.spares == 0 || own.IntN(3) == 0
	}
	w.changes = &changes{w: w}
	w.ringBytes = pick(w.rng, 16<<10, 16<<10, 64<<10, 64<<10, 256<<10, 256<<10, 256<<10, 2<<20)
	w.segmentSize = max(versionlog.MinSegmentSize, int64(w.ringBytes/8))
	w.clientsPerNode = 1 + w.rng.IntN(3)
	w.delays.draw(w.rng)
	w.program = newProgram(w.ringBytes)
	w.order, w.reads, w.rows = newOrder(w), &reads{w: w}, newRows(w)
	for i := range size {
		w.nodes = append(w.nodes, views.Peer{Node: ids.NodeID(i + 1)})
	}
	for i := range size + w.spares {
		w.machines = append(w.machines, &machine{
			w: w, id: ids.NodeID(i + 1), disk: nvm.NewStrict(), kv: index.NewMem(), offset: w.delays.offset(w.rng), nodes: w.nodes, absent: i >= size,
		})
	}
	w.net = sim.New(w.delays.network(w.rng))
	w.faults = newFaults(w)
	return w
}

// run is a whole run. It returns what a referee said, or nothing.
func (w *world) run() (failed string) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			failed = p.text
		default:
			failed = fmt.Sprintf("panic: %v\n%s", p, debug.Stack())
		}
		w.count.simulated = w.now()
	}()
	for _, m := range w.present() {
		w.after(time.Duration(w.rng.Int64N(int64(50*time.Millisecond))), m.start)
	}
	w.runUntil(w.faults.begin(), nil)
	w.faults.end()
	w.comeToRest()
	return ""
}
