package sim

import (
	"context"
	"slices"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/index"
	"dfs/nvm"
	"dfs/views"
)

// changes is who comes, goes and is replaced in a run: machines that are not configured at first come in one by one or
// several at once; configured ones leave, alive or dead; and the disk of one is lost and another takes its number.
type changes struct {
	w        *world
	newest   views.View // of those installed anywhere
	asked    []*asked   // changes that were asked for
	replaced *machine   // it is being taken out, to come again with an empty disk
}

// asked is a change that a machine was asked for in a view.
type asked struct {
	by   *machine
	life uint32
	view ids.ViewID
	over bool
}

// present returns the machines that are there, running or not.
func (w *world) present() (all []*machine) {
	for _, m := range w.machines {
		if !m.absent {
			all = append(all, m)
		}
	}
	return all
}

// calm returns the newest view if moreover every configured node is in it, and no data is damaged. Only then may the disk of
// one be lost.
func (w *world) calm() (views.View, bool) {
	v, ok := w.atRest()
	for _, p := range v.Nodes {
		m := w.machines[p.Node-1]
		m.mend()
		if m.node == nil || m.ringView != v.ID || m.wedged || len(m.rot) > 0 || m.dying {
			return v, false
		}
	}
	return v, ok && len(v.Members) == len(v.Nodes)
}

// pending reports whether the outcome of a change is open. If the machine died that was asked, the next view decides.
func (c *changes) pending() bool {
	c.asked = slices.DeleteFunc(c.asked, func(a *asked) bool {
		return a.over || (a.by.life != a.life || a.by.node == nil) && c.newest.ID > a.view
	})
	return len(c.asked) > 0
}

// atRest returns the newest view if by it all data is where it should be, and nobody comes or goes.
func (w *world) atRest() (views.View, bool) {
	v := w.changes.newest
	return v, v.ID > 0 && len(v.Layouts()) == 1 && w.changes.replaced == nil && !w.changes.pending()
}

// follow takes note of a view that was installed: whoever it lets in starts, and whoever it lacks is taken away.
func (c *changes) follow(v views.View) {
	if v.ID <= c.newest.ID {
		return
	}
	before := c.newest
	c.newest = v
	for _, p := range v.Nodes {
		if m := c.w.machines[p.Node-1]; m.absent && !m.gone && m != c.replaced {
			c.w.after(about(c.w.faults.rng, 20*time.Millisecond), func() { c.come(m, v.Nodes) })
		}
	}
	for _, p := range before.Nodes {
		if m := c.w.machines[p.Node-1]; !v.Configured(p.Node) {
			m.gone = m != c.replaced
			c.w.after(about(c.w.faults.rng, 20*time.Millisecond), func() { c.goAway(m) })
		}
	}
}

// come starts a machine that knows these nodes.
func (c *changes) come(m *machine, nodes []views.Peer) {
	if m.absent && !m.gone {
		m.absent, m.nodes = false, nodes
		m.start()
	}
}

// goAway ends a machine that is not configured, and with it its disk.
func (c *changes) goAway(m *machine) {
	c.w.note(m.id, "is gone", b2u(m == c.replaced), 0)
	m.absent = true
	if m == c.replaced {
		c.replaced = nil
	}
	m.end()
	m.disk, m.kv, m.state, m.floor, m.rot = nvm.NewStrict(), index.NewMem(), views.Durable{}, 0, nil
	m.pos, m.synced, m.claimed, m.diverged, m.sick, m.badFiles = 0, 0, 0, false, false, false
	c.w.order.crashed(m)
}

// ask has a machine change the configuration.
func (c *changes) ask(by *machine, what string, fn func([]views.Peer) []views.Peer) {
	change, err := by.node.AskReconfigure(fn)
	if err != nil {
		c.w.fail("node %d refuses a change: %v", by.id, err)
	}
	c.w.note(by.id, what, 0, 0)
	a := &asked{by: by, life: by.life, view: c.newest.ID}
	c.asked = append(c.asked, a)
	by.wake()
	by.await("change", change.Ready, func() {
		a.over = true
		switch err := change.Wait(context.Background()); {
		case err == nil:
			c.w.count.changed++
		case errs.KindOf(err) != errs.Unavailable:
			c.w.fail("a change of the configuration by node %d failed: %v", by.id, err)
		}
	})
}

// with and without change a configuration by one node.
func with(m *machine) func([]views.Peer) []views.Peer {
	return func(now []views.Peer) []views.Peer {
		if m.gone || slices.ContainsFunc(now, func(p views.Peer) bool { return p.Node == m.id }) {
			return now
		}
		return append(slices.Clone(now), views.Peer{Node: m.id})
	}
}

func without(id ids.NodeID) func([]views.Peer) []views.Peer {
	return func(now []views.Peer) []views.Peer {
		return slices.DeleteFunc(slices.Clone(now), func(p views.Peer) bool { return p.Node == id })
	}
}

// member returns a configured machine that runs, but not a certain one; nil if there is none.
func (f *faults) member(but *machine) *machine {
	var all []*machine
	for _, p := range f.w.changes.newest.Nodes {
		if m := f.w.machines[p.Node-1]; m.node != nil && m != but && !m.dying {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return pick(f.rng, all...)
}

// join has a machine that is not configured come in. The change waits for it to catch up; it is asked for before it runs, or
// when it does.
func (f *faults) join() {
	var out []*machine
	for _, m := range f.w.machines {
		if !m.gone && m != f.w.changes.replaced && !f.w.changes.newest.Configured(m.id) {
			out = append(out, m)
		}
	}
	by := f.member(nil)
	if len(out) == 0 || by == nil {
		return
	}
	m := pick(f.rng, out...)
	nodes := with(m)(f.w.changes.newest.Nodes)
	f.w.after(pick(f.rng, 0, about(f.rng, 50*time.Millisecond)), func() { f.w.changes.come(m, nodes) })
	f.w.changes.ask(by, "lets a node in", with(m))
}

// storm has several come in at once.
func (f *faults) storm() {
	for range 3 {
		f.w.after(about(f.rng, 5*time.Millisecond), func() {
			if f.on {
				f.join()
			}
		})
	}
}

// leave takes a node out, which runs or has died.
func (f *faults) leave() {
	view, ok := f.w.calm()
	if !ok || len(view.Nodes) < 2 {
		return
	}
	m := f.w.machines[pick(f.rng, view.Nodes...).Node-1]
	by := m
	if f.rng.IntN(2) == 0 {
		by = f.member(m)
	}
	if by != m && f.rng.IntN(2) == 0 {
		f.crash(m, f.rng.IntN(2) == 0)
	}
	f.w.changes.ask(by, "takes a node out", without(m.id))
}

// replace has the disk of a node lost: it dies, is taken out, and comes in again with nothing.
func (f *faults) replace() {
	view, ok := f.w.calm()
	if !ok || len(view.Nodes) < 3 || f.w.replicas == 1 {
		return
	}
	m := f.w.machines[pick(f.rng, view.Nodes...).Node-1]
	by := f.member(m)
	m.absent = true
	m.crash(false)
	f.w.changes.replaced = m
	f.w.count.replaced++
	f.w.changes.ask(by, "takes a node out that has lost its disk", without(m.id))
	// If nobody knows whether it was taken out, the disk is found to be good.
	f.w.after(4*suspectAfter+about(f.rng, time.Second), func() {
		if f.w.changes.replaced == m {
			f.w.changes.replaced = nil
			f.w.changes.come(m, m.nodes)
		}
	})
}
