package sim

import (
	"time"

	"dfs/ids"
)

// kept is what somebody beside a node keeps of what he read there, as the kernel keeps attributes: until he is told that it may be
// out of date, or for as long as the node vouches for it.
type kept struct {
	pos   int           // entries of the order that it shows
	until time.Duration // not longer
	acks  uint64        // how often he was told anything
}

// told takes back what is kept.
func (k *kept) told(ids.Subgroup, []byte) {
	k.acks++
	k.until = 0
}

// keep keeps what a node showed, if nothing was told since it was asked.
func (k *kept) keep(m *machine, asked uint64) {
	if k.acks == asked {
		k.pos, k.until = m.pos, m.w.now()+m.node.Vouched()
	}
}

// keptAnywhere is the referee of W12: everything before a place was seen somewhere, so nobody keeps what is older.
func (r *reads) keptAnywhere(place int) {
	for _, m := range r.w.machines {
		if m.up() && m.kept.until > r.w.now() && m.kept.pos < place {
			r.w.fail("W12: beside node %d what was before operation %d is kept for %v more, %d were seen",
				m.id, m.kept.pos, m.kept.until-r.w.now(), place)
		}
	}
}
