package relay

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
)

var blockCounts = []int{0, 1, 2, 3, 4, 5, 7, 8, 13, 31}

// eachPlan calls fn for every group of 2 to 16, and for some larger ones.
func eachPlan(t *testing.T, fn func(t *testing.T, p Plan)) {
	for _, n := range []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 31, 64, 100, 128} {
		for _, k := range blockCounts {
			p := Plan{n, k}
			t.Run(fmt.Sprintf("%d members, %d blocks", n, k), func(t *testing.T) { fn(t, p) })
		}
	}
}

// J1, J2, J5: every plan is possible and complete, and in a cube that is full it takes d+k-1 steps of one block each.
func TestPlan(t *testing.T) {
	eachPlan(t, func(t *testing.T, p Plan) {
		has := make([]map[int]bool, p.Members)
		for m := range has {
			has[m] = map[int]bool{}
		}
		for b := range p.Blocks {
			has[0][b] = true
		}
		most := 2
		if bits.OnesCount(uint(p.Members)) == 1 {
			most = 1
		}
		for step, sends := range p.All() {
			out, in := map[int]int{}, map[int]int{}
			for _, s := range sends {
				if !has[s.From][s.Block] {
					t.Fatalf("J2: step %d: %+v of a block that is not there", step, s)
				}
				if has[s.To][s.Block] {
					t.Fatalf("J1: step %d: %+v of a block that is there already", step, s)
				}
				if out[s.From]++; out[s.From] > most {
					t.Fatalf("J5: step %d: member %d sends %d blocks", step, s.From, out[s.From])
				}
				if in[s.To]++; in[s.To] > most {
					t.Fatalf("J5: step %d: member %d gets %d blocks", step, s.To, in[s.To])
				}
			}
			for _, s := range sends {
				has[s.To][s.Block] = true
			}
		}
		for m := range has {
			if len(has[m]) != p.Blocks {
				t.Fatalf("J1: member %d has %d of %d blocks after %d steps", m, len(has[m]), p.Blocks, p.Steps())
			}
		}
	})
}

// run carries sends out in a random order, in which only those of one pair keep theirs, until nothing is left or stop
// says so.
func run(p Plan, rng *rand.Rand, stop func(done int) bool) []*Machine {
	ms := make([]*Machine, p.Members)
	for r := range ms {
		ms[r] = NewMachine(p, r)
	}
	links := map[[2]int][]int{}
	var busy [][2]int
	for done := 0; !stop(done); done++ {
		for _, m := range ms {
			for s, ok := m.Next(); ok; s, ok = m.Next() {
				l := [2]int{s.From, s.To}
				if len(links[l]) == 0 {
					busy = append(busy, l)
				}
				links[l] = append(links[l], s.Block)
			}
		}
		if len(busy) == 0 {
			break
		}
		i := rng.IntN(len(busy))
		l := busy[i]
		ms[l[1]].Received(links[l][0])
		if links[l] = links[l][1:]; len(links[l]) == 0 {
			busy = append(busy[:i], busy[i+1:]...)
		}
	}
	return ms
}

// J3: all machines end, in any order of arrival.
func TestMachines(t *testing.T) {
	eachPlan(t, func(t *testing.T, p Plan) {
		for r, m := range run(p, rand.New(rand.NewPCG(uint64(p.Members), uint64(p.Blocks))), func(int) bool { return false }) {
			if !m.Done() || !m.Complete() {
				t.Fatalf("J3: member %d has not ended", r)
			}
		}
		m := NewMachine(p, p.Members-1)
		if m.Received(-1) || m.Received(p.Blocks) || p.Blocks > 0 && (!m.Received(0) || m.Received(0)) {
			t.Error("a block that is none, or is here already, was taken")
		}
	})
}

// J4: a relay, or the sender, dies at any moment; what anybody has all get.
func TestDeath(t *testing.T) {
	eachPlan(t, func(t *testing.T, p Plan) {
		if p.Members > 16 {
			return
		}
		rng := rand.New(rand.NewPCG(uint64(p.Members), 99))
		for dead := range p.Members {
			at := rng.IntN(p.Members*p.Blocks + 1)
			ms := run(p, rng, func(done int) bool { return done == at })
			var have [][]bool
			known := make([]bool, p.Blocks)
			for r, m := range ms {
				if r == dead {
					continue
				}
				have = append(have, m.Have())
				for b, ok := range m.Have() {
					known[b] = known[b] || ok
				}
			}
			checkRepair(t, have, known)
			if dead != 0 {
				if _, lost := Repair(have); len(lost) > 0 {
					t.Fatalf("J4: %v are lost though the sender lives", lost)
				}
			}
		}
	})
}

func checkRepair(t *testing.T, have [][]bool, known []bool) {
	t.Helper()
	steps, lost := Repair(have)
	after := make([][]bool, len(have))
	for m := range have {
		after[m] = append([]bool(nil), have[m]...)
	}
	for _, step := range steps {
		out, in := map[int]bool{}, map[int]bool{}
		for _, s := range step {
			if !after[s.From][s.Block] || after[s.To][s.Block] || out[s.From] || in[s.To] {
				t.Fatalf("J4: %+v cannot be, or is in vain", s)
			}
			out[s.From], in[s.To] = true, true
		}
		for _, s := range step {
			after[s.To][s.Block] = true
		}
	}
	gone := 0
	for b, ok := range known {
		if !ok {
			gone++
		}
		for m := range after {
			if after[m][b] != ok {
				t.Fatalf("J4: member %d, block %d: has it %v, anybody had it %v", m, b, after[m][b], ok)
			}
		}
	}
	if gone != len(lost) {
		t.Fatalf("J4: lost %v, want %d blocks", lost, gone)
	}
}
