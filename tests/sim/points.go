package sim

import (
	"encoding/binary"
	"fmt"
	"strings"

	"dfs/errs"
	"dfs/ids"
	"dfs/views"
)

// point is a place in the change of views where trouble may be made.
type point int

// The points: a message of views is sent, by its kind, or something is written.
const (
	pointState point = iota + 1
	pointPrepare
	pointPromise
	pointPropose
	pointAccepted
	pointDecided
	pointReady
	pointCommit
	pointInstalled
	pointPersisted // a promise, a proposal or a view
	pointTrimmed   // the end of a view is in the log
	pointSynced    // and durable
	pointActivated // the rings of the next view are registered
	pointOpening   // the first row of an open view is pushed
	pointCount
)

var pointNames = [pointCount]string{
	"", "State", "Prepare", "Promise", "Propose", "Accepted", "Decided", "Ready", "Commit", "Installed",
	"persisted", "trim delivered", "trim synced", "activated", "opened",
}

// points counts how often runs came to each point, and what was done there.
type points struct {
	share  int // one in so many times trouble is made, 0 for never
	passed [pointCount]int
	killed [pointCount]int // the node itself
	other  [pointCount]int // another one, or a pause or a partition
}

func (p *points) add(o *points) {
	for i := range p.passed {
		p.passed[i] += o.passed[i]
		p.killed[i] += o.killed[i]
		p.other[i] += o.other[i]
	}
}

// String is the table that the tests print.
func (p *points) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %9s %14s %14s\n", "point", "passed", "killed there", "other trouble")
	for i := pointState; i < pointCount; i++ {
		fmt.Fprintf(&b, "%-16s %9d %14d %14d\n", pointNames[i], p.passed[i], p.killed[i], p.other[i])
	}
	return b.String()
}

// reach notes that m is at a point, and with whom it deals there, if with anyone; now and then that makes trouble. A
// machine that is dying does nothing more that could be seen: its step goes on, but neither wire nor disk learn of it.
func (f *faults) reach(m *machine, at point, peer ids.NodeID) {
	if m.dying || m.node == nil {
		return
	}
	p := &f.points
	p.passed[at]++
	share := p.share
	if at == pointState {
		share *= 8 // these are many
	}
	if !f.on || share == 0 || f.w.rng.IntN(share) > 0 {
		return
	}
	f.w.note(m.id, "at "+pointNames[at], uint64(peer), 0)
	victim := m
	if peer != 0 && f.w.rng.IntN(3) == 0 {
		victim = f.w.machines[peer-1]
	}
	what := f.w.rng.IntN(6)
	if what < 4 && victim == m {
		p.killed[at]++
		m.dying, m.dyingPower = true, what == 0
		life := m.life
		f.w.after(0, func() { // when it was not in a step
			if m.life == life && m.dying {
				f.crash(m, m.dyingPower)
			}
		})
		return
	}
	p.other[at]++
	life := victim.life
	f.w.after(0, func() {
		switch {
		case !f.on || victim.life != life:
		case what < 4:
			f.crash(victim, what == 0)
		case what == 4:
			f.stop(victim, f.suspicion())
		default:
			f.isolate(victim)
		}
	})
}

// errDying is what a machine gets to hear that is dying; nobody else learns of it.
var errDying = errs.New(errs.IO, "injected: the process ends here")

// viewMessage returns the point that a control message stands for: it is for views, and says its kind first.
func viewMessage(msg []byte) (point, bool) {
	if len(msg) < 2 || msg[0] != 1 {
		return 0, false
	}
	kind, _ := binary.Uvarint(msg[1:])
	return point(kind), kind >= uint64(pointState) && kind <= uint64(pointInstalled)
}

// ballotOf returns the ballot that a Prepare asks to promise: round and node follow the kind.
func ballotOf(msg []byte) views.Ballot {
	_, k := binary.Uvarint(msg[1:])
	round, n := binary.Uvarint(msg[1+k:])
	node, _ := binary.Uvarint(msg[1+k+n:])
	return views.Ballot{Round: round, Node: ids.NodeID(node)}
}
