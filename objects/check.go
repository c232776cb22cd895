package objects

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"dfs/ids"
	"dfs/index"
)

// Check reads every record and calls report for each breach of O2, O3 and O6.
func Check(r index.Reader, report func(problem string)) {
	c := checker{r: r, sums: map[body]*sum{}, dead: map[body]bool{}}
	c.report = func(format string, args ...any) { report(fmt.Sprintf(format, args...)) }
	c.extents()
	c.garbage()
	c.attrs()
	for _, b := range slices.SortedFunc(maps.Keys(c.sums), body.compare) {
		c.report("O6: extents of file %d, epoch %d, which are neither its nor garbage", b.ino, b.epoch)
	}
	if n := loadCounters(r); n.bytes != c.bytes || n.garbage != c.bodies {
		c.report("O3: counters say %d bytes, %d garbage records, counted %d and %d", n.bytes, n.garbage, c.bytes, c.bodies)
	}
}

// body is the extents of one epoch of a file.
type body struct {
	ino   ids.Ino
	epoch Epoch
}

func (b body) compare(other body) int {
	return cmp.Or(cmp.Compare(b.ino, other.ino), cmp.Compare(b.epoch, other.epoch))
}

type sum struct {
	bytes, end int64
	extents    uint64
}

type checker struct {
	r      index.Reader
	report func(format string, args ...any)
	sums   map[body]*sum // of bodies not accounted for yet
	bytes  int64
	bodies uint64        // that are garbage
	dead   map[body]bool // the same
}

func (c *checker) scan(table byte, fn func(k, v []byte)) {
	from, to := tableRange(table)
	c.r.Scan(from, to, func(k, v []byte) bool { fn(k, v); return true })
}

func (c *checker) extents() {
	c.scan(tableExtent, func(k, v []byte) {
		e, err := DecodeExtent(k, v)
		if err != nil {
			c.report("O6: %v", err)
			return
		}
		b := body{e.Ino, e.Epoch}
		s := c.sums[b]
		if s == nil {
			s = &sum{}
			c.sums[b] = s
		}
		if e.FileOff < s.end {
			c.report("O2: extents of file %d overlap at %d: one begins there, one ends at %d", e.Ino, e.FileOff, s.end)
		}
		s.bytes += e.Len
		s.extents++
		s.end = e.end()
	})
}

func (c *checker) garbage() {
	c.scan(tableGarbage, func(k, _ []byte) {
		ino, epoch := parseGarbageKey(k)
		c.bodies++
		c.dead[body{ino, epoch}] = true
		delete(c.sums, body{ino, epoch})
	})
}

func (c *checker) attrs() {
	c.scan(tableAttr, func(k, v []byte) {
		ino := ids.Ino(binary.BigEndian.Uint64(k[1:]))
		a, err := DecodeAttr(v)
		if err != nil {
			c.report("O6: file %d: %v", ino, err)
			return
		}
		b := body{ino, a.Epoch}
		s := c.sums[b]
		if s == nil {
			s = &sum{}
		}
		delete(c.sums, b)
		if a.Bytes != s.bytes || a.Extents != s.extents {
			c.report("O3: file %d has %d bytes in %d extents, counted %d in %d", ino, a.Bytes, a.Extents, s.bytes, s.extents)
		}
		if a.Size < s.end {
			c.report("O2: file %d has size %d, but an extent ends at %d", ino, a.Size, s.end)
		}
		if c.dead[b] {
			c.report("O6: the extents of file %d at epoch %d are garbage", ino, a.Epoch)
		}
		c.bytes += s.bytes
	})
}
