package objects

import (
	"encoding/binary"
	"fmt"

	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// change is one operation at work. Operations check everything first and write then (O5), so nothing
// is collected on the way.
type change struct {
	w    index.Writer
	now  int64
	data DataRef
}

// DataRef says where an operation's data lies in the log: Len bytes at Off in the data of the record
// at LSN.
type DataRef struct {
	LSN uint64
	Off int
	Len int
}

func newChange(w index.Writer, now hlc.Timestamp, data DataRef) *change {
	return &change{w: w, now: int64(now), data: data}
}

func panicf(format string, args ...any) { panic("objects: " + fmt.Sprintf(format, args...)) }

// file is a file that an operation changes: its attributes, kept in step with its extents, written
// back by save.
type file struct {
	Attr
	c   *change
	ino ids.Ino
	was int64 // Bytes when it was loaded
}

func (c *change) file(ino ids.Ino) *file {
	a, ok := Stat(c.w, ino)
	if !ok {
		a.Epoch = freshEpoch(c.w, ino)
	}
	return &file{Attr: a, c: c, ino: ino, was: a.Bytes}
}

// modified sets mtime and ctime.
func (f *file) modified() {
	f.Mtime = f.c.now
	f.Set |= MtimeSet
	f.changed()
}

// changed sets ctime.
func (f *file) changed() {
	f.Ctime = f.c.now
	f.Set |= CtimeSet
}

// save writes the attributes back.
func (f *file) save() {
	f.c.w.Put(AttrKey(f.ino), f.Encode())
	f.c.addUsage(f.Bytes - f.was)
}

// addUsage counts bytes that came to life or died.
func (c *change) addUsage(delta int64) {
	if delta != 0 {
		n := loadCounters(c.w)
		n.bytes += delta
		c.w.Put(counterKey(), n.encode())
	}
}

// discard makes the extents of a file at its epoch garbage. The caller counts their bytes out.
func (c *change) discard(ino ids.Ino, epoch Epoch) {
	c.w.Put(garbageKey(ino, epoch), nil)
	n := loadCounters(c.w)
	n.garbage++
	c.w.Put(counterKey(), n.encode())
}

// counters is the one record that is not about a file.
type counters struct {
	bytes   int64  // in the extents of all files
	garbage uint64 // bodies that are garbage
}

func (n *counters) encode() []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n.bytes)), n.garbage)
}

func loadCounters(r index.Reader) counters {
	v, ok := r.Get(counterKey())
	if !ok {
		return counters{}
	}
	d := decoder{rest: v}
	n := counters{bytes: d.size(), garbage: d.uvarint()}
	if !d.done() {
		panicf("O6: counters %x cannot be read", v)
	}
	return n
}

// put adds an extent, of which nothing else may hold any byte.
func (f *file) put(e Extent) {
	f.c.w.Put(e.Key(), e.Encode())
	f.Bytes += e.Len
	f.Extents++
}

// cut shortens an extent in place.
func (f *file) cut(e Extent, length int64) {
	f.Bytes -= e.Len - length
	e.Len = length
	f.c.w.Put(e.Key(), e.Encode())
}

// remove deletes an extent.
func (f *file) remove(e Extent) {
	f.c.w.Delete(e.Key())
	f.Bytes -= e.Len
	f.Extents--
}

// from returns what is left of an extent from a file offset on.
func (e Extent) from(off int64) Extent {
	skip := off - e.FileOff
	e.FileOff, e.Off, e.Len = off, e.Off+skip, e.Len-skip
	return e
}

// carve takes every byte in [from, to) away from the extents that hold it: those inside go, those
// that reach in are cut, one that reaches over becomes two.
func (f *file) carve(from, to int64) {
	if from >= f.Size || from >= to || f.Extents == 0 {
		return // no extent reaches beyond the size (O2)
	}
	if e, ok := lastBefore(f.c.w, f.ino, f.Epoch, from); ok && e.end() > from {
		f.cut(e, from-e.FileOff)
		if e.end() > to {
			f.put(e.from(to))
		}
		if e.end() >= to {
			return
		}
	}
	var inside []Extent
	scanExtents(f.c.w, f.ino, f.Epoch, from, to, func(e Extent) bool {
		inside = append(inside, e)
		return true
	})
	for _, e := range inside {
		f.remove(e)
		if e.end() > to {
			f.put(e.from(to))
		}
	}
}

// write makes [off, off+length) the given bytes of the log. The caller has checked the range.
func (f *file) write(off, length int64, lsn uint64, dataOff int64) {
	f.clear(off, off+length)
	for at := int64(0); at < length; at += MaxExtent {
		f.put(Extent{Ino: f.ino, Epoch: f.Epoch, FileOff: off + at, Len: min(length-at, MaxExtent), LSN: lsn, Off: dataOff + at})
	}
	f.Size = max(f.Size, off+length)
}

// clear is carve for a range that is about to be filled by extents the first of which begins at from.
// Where one extent begins there and holds all of the range, as when blocks are overwritten in place,
// one lookup by key is all it takes.
func (f *file) clear(from, to int64) {
	if from >= f.Size {
		return
	}
	if e, ok := extentAt(f.c.w, f.ino, f.Epoch, from); ok && e.end() >= to {
		f.Bytes -= e.Len // its record is replaced, not deleted
		f.Extents--
		if e.end() > to {
			f.put(e.from(to))
		}
		return
	}
	f.carve(from, to)
}
