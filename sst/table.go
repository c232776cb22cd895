package sst

import (
	"fmt"
	"slices"

	"dfs/ids"
)

// Table is one member's copy of the shared state table of a view.
type Table struct {
	layout Layout
	self   ids.Rank
	mem    []uint64 // all rows; those of others are written by the fabric
	own    []uint64 // this member's row in mem
	frozen []bool   // by rank: the row was refused or given up, snapshots keep what they have
	dirty  bool     // the own row has news that should be pushed now
	news   []bool   // by rank: it has some for this member
	buf    []uint64 // a row being loaded
}

// New makes the table of the member at rank self on mem, which must have layout.Words() words, start
// on a cache line, and be zero but for what peers have written into their rows already (S5).
func New(layout Layout, self ids.Rank, mem []uint64) *Table {
	row := layout.RowWords()
	if layout.Members < 1 || self < 0 || int(self) >= layout.Members || len(mem) != layout.Words() {
		panic(fmt.Sprintf("sst: S5: member %d of %d in a table of %d words, want %d", self, layout.Members, len(mem), layout.Words()))
	}
	t := &Table{
		layout: layout, self: self, mem: mem, own: mem[int(self)*row : (int(self)+1)*row],
		frozen: make([]bool, layout.Members), news: make([]bool, layout.Members), buf: make([]uint64, row),
	}
	for c, w := range t.own {
		if w != 0 {
			panic(fmt.Sprintf("sst: S5: word %d of the own row of a new table is %d", c, w))
		}
	}
	return t
}

// Layout returns where the columns are.
func (t *Table) Layout() Layout { return t.layout }

// Self returns the rank of the own row.
func (t *Table) Self() ids.Rank { return t.self }

// Get returns a word of the own row.
func (t *Table) Get(c Column) uint64 { return t.own[c] }

// Set stores a word of the own row, which must not decrease (S2), and marks the table dirty if it grew.
func (t *Table) Set(c Column, v uint64) {
	if t.SetQuiet(c, v) {
		t.dirty = true
	}
}

// SetQuiet stores a word of the own row as Set does, but lets it wait for the next push. It reports
// whether the word grew.
func (t *Table) SetQuiet(c Column, v uint64) bool {
	old := t.own[c]
	if v < old {
		panic(fmt.Sprintf("sst: S2: word %d of member %d would decrease from %d to %d", c, t.self, old, v))
	}
	if v == old {
		return false
	}
	store(&t.own[c], v)
	return true
}

// Freeze makes snapshots keep what they hold of member m's row, whatever arrives from now on.
func (t *Table) Freeze(m ids.Rank) { t.frozen[m] = true }

// Touch marks the table dirty, so that words set quietly are pushed now.
func (t *Table) Touch() { t.dirty = true }

// TouchFor is Touch for member m alone: no other one waits for what was set quietly.
func (t *Table) TouchFor(m ids.Rank) { t.news[m] = true }

// Dirty reports whether the own row should be pushed to somebody.
func (t *Table) Dirty() bool { return t.dirty || slices.Contains(t.news, true) }

// DirtyForAll reports whether it should be pushed to everybody.
func (t *Table) DirtyForAll() bool { return t.dirty }

// DirtyFor reports whether the own row should be pushed to member m.
func (t *Table) DirtyFor(m ids.Rank) bool { return t.dirty || t.news[m] }

// Pushed says that Row was written to all other members that it is DirtyFor.
func (t *Table) Pushed() {
	t.dirty = false
	clear(t.news)
}

// Row returns the own row, for pushing. It changes with the next setter.
func (t *Table) Row() []uint64 { return t.own }

// RowOffset returns where in the table's memory, in bytes, the own row lies at every member.
func (t *Table) RowOffset() int { return int(t.self) * len(t.own) * 8 }
