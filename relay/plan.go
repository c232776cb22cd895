package relay

import "math/bits"

// Send is one block on its way.
type Send struct {
	From, To int // ranks; the sender of the object is 0
	Block    int
}

// Plan is the binomial pipeline of a group.
type Plan struct {
	Members int // at least 1
	Blocks  int // at least 0
}

// dimensions of the smallest cube that the group fits.
func (p Plan) dimensions() int { return bits.Len(uint(p.Members - 1)) }

// Steps is how many steps the plan has.
func (p Plan) Steps() int {
	if p.Members < 2 || p.Blocks < 1 {
		return 0
	}
	return p.dimensions() + p.Blocks - 1
}

// member is who stands at a corner.
func (p Plan) member(corner int) int {
	if corner < p.Members {
		return corner
	}
	return corner - 1<<(p.dimensions()-1)
}

// block is what a corner sends in a step, -1 if nothing.
func (p Plan) block(corner, step int) int {
	d := p.dimensions()
	r := step % d
	if corner^1<<r == 0 {
		return -1 // the sender has it
	}
	// The next dimension, from this one on, in which the corner is not the sender's side says how new its block is.
	ahead := d
	if corner != 0 {
		turned := (corner>>r | corner<<(d-r)) & (1<<d - 1)
		ahead = bits.TrailingZeros(uint(turned))
	}
	return min(step-d+ahead, p.Blocks-1)
}

// All returns the sends of all steps, in order. Plans are made rarely and for few members: they are written out.
func (p Plan) All() [][]Send {
	has := make([][]bool, p.Members)
	for m := range has {
		has[m] = make([]bool, p.Blocks)
		for b := range has[m] {
			has[m][b] = m == 0
		}
	}
	all := make([][]Send, p.Steps())
	for step := range all {
		for corner := range 1 << p.dimensions() {
			b := p.block(corner, step)
			if b < 0 {
				continue
			}
			s := Send{p.member(corner), p.member(corner ^ 1<<(step%p.dimensions())), b}
			if s.From != s.To && !has[s.To][b] && !contains(all[step], s) {
				all[step] = append(all[step], s)
			}
		}
		for _, s := range all[step] {
			has[s.To][s.Block] = true
		}
	}
	return all
}

// contains reports whether the receiver gets the block already: two of its corners may be due at once.
func contains(sends []Send, s Send) bool {
	for _, other := range sends {
		if other.To == s.To && other.Block == s.Block {
			return true
		}
	}
	return false
}

// Machine is one member's part in a plan.
type Machine struct {
	todo []Send // its own sends, in the order of the plan
	have []bool
	left int
}

// NewMachine returns the part of the member of a rank.
func NewMachine(p Plan, rank int) *Machine {
	m := &Machine{have: make([]bool, p.Blocks), left: p.Blocks}
	if rank == 0 {
		m.left = 0
		for b := range m.have {
			m.have[b] = true
		}
	}
	for _, step := range p.All() {
		for _, s := range step {
			if s.From == rank {
				m.todo = append(m.todo, s)
			}
		}
	}
	return m
}

// Received takes note of a block. It reports false for one that is not of the object or that is here already.
func (m *Machine) Received(block int) bool {
	if block < 0 || block >= len(m.have) || m.have[block] {
		return false
	}
	m.have[block] = true
	m.left--
	return true
}

// Next returns the next send if its block is here.
func (m *Machine) Next() (Send, bool) {
	if len(m.todo) == 0 || !m.have[m.todo[0].Block] {
		return Send{}, false
	}
	s := m.todo[0]
	m.todo = m.todo[1:]
	return s, true
}

// Complete reports whether all blocks are here, and Done whether also nothing is left to send.
func (m *Machine) Complete() bool { return m.left == 0 }

// Done reports whether all blocks are here and passed on.
func (m *Machine) Done() bool { return m.left == 0 && len(m.todo) == 0 }

// Have returns which blocks are here, for Repair. The caller must not change it.
func (m *Machine) Have() []bool { return m.have }

// Repair returns sends by which all get what any has, in steps in which no member sends or receives more than one
// block, and the blocks that nobody has. have holds, for each survivor, which blocks are there.
func Repair(have [][]bool) (steps [][]Send, lost []int) {
	if len(have) == 0 {
		return nil, nil
	}
	now := make([][]bool, len(have))
	missing := 0
	for m := range have {
		now[m] = append([]bool(nil), have[m]...)
	}
	for b := range now[0] {
		holders := 0
		for m := range now {
			if now[m][b] {
				holders++
			}
		}
		if holders == 0 {
			lost = append(lost, b)
		} else {
			missing += len(now) - holders
		}
	}
	for turn := 0; missing > 0; turn++ {
		step := repairStep(now, turn)
		for _, s := range step {
			now[s.To][s.Block] = true
		}
		missing -= len(step)
		steps = append(steps, step)
	}
	return steps, lost
}

// repairStep pairs each who lacks something with one who has it and is free, beginning with another member and another
// block each time, so that different blocks spread at once.
func repairStep(have [][]bool, turn int) (step []Send) {
	busy := make([]bool, len(have))
	for i := range have {
		to := (i + turn) % len(have)
		found := Send{To: to, Block: -1}
		for k := range have[to] {
			b := (k + i + turn) % len(have[to])
			if have[to][b] {
				continue
			}
			for j := 1; j < len(have) && found.Block < 0; j++ {
				if from := (to + j) % len(have); have[from][b] && !busy[from] {
					found.From, found.Block = from, b
				}
			}
			if found.Block >= 0 {
				break
			}
		}
		if found.Block >= 0 {
			busy[found.From] = true
			step = append(step, found)
		}
	}
	return step
}
