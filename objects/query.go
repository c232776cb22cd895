package objects

import (
	"crypto/sha256"
	"encoding/binary"

	"dfs/ids"
	"dfs/index"
)

// Stat returns a file's attributes. ok is false for a file that was never changed since it was made:
// it is empty, and its times are those of its inode.
func Stat(r index.Reader, ino ids.Ino) (a Attr, ok bool) {
	v, ok := r.Get(AttrKey(ino))
	if !ok {
		return Attr{}, false
	}
	a, err := DecodeAttr(v)
	if err != nil {
		panicf("O6: file %d: %v", ino, err)
	}
	return a, true
}

// Piece is a part of a file: a hole, which reads as zeros, or bytes in the log.
type Piece struct {
	FileOff int64
	Len     int64
	Hole    bool
	LSN     uint64 // of the record that has the bytes
	Off     int64  // where they begin in the data of the record
}

// Map calls fn for the pieces of [off, off+length), in order and without gaps, until fn returns false,
// and returns how many bytes they had. It ends at the end of the file.
func Map(r index.Reader, ino ids.Ino, off, length int64, fn func(Piece) bool) int64 {
	a, _ := Stat(r, ino)
	if off < 0 || length <= 0 || off >= a.Size {
		return 0
	}
	m := mapping{at: off, to: off + min(length, a.Size-off), fn: fn}
	if a.Extents > 0 {
		m.extents(r, ino, a.Epoch)
	}
	if !m.stopped && m.at < m.to {
		m.emit(Piece{FileOff: m.at, Len: m.to - m.at, Hole: true})
	}
	return m.at - off
}

// mapping is the state of a Map.
type mapping struct {
	at, to  int64 // what is left to be told
	fn      func(Piece) bool
	stopped bool
}

func (m *mapping) emit(p Piece) {
	m.at = p.FileOff + p.Len
	m.stopped = !m.fn(p)
}

// extent tells of an extent, and of the hole before it if there is one.
func (m *mapping) extent(e Extent) bool {
	if e.FileOff > m.at {
		m.emit(Piece{FileOff: m.at, Len: e.FileOff - m.at, Hole: true})
	}
	if m.stopped {
		return false
	}
	e = e.from(m.at)
	m.emit(Piece{FileOff: e.FileOff, Len: min(e.Len, m.to-e.FileOff), LSN: e.LSN, Off: e.Off})
	return !m.stopped
}

// extents tells of all extents. A read that begins where an extent does and needs no other is answered
// by one lookup by key, which the index has in memory.
func (m *mapping) extents(r index.Reader, ino ids.Ino, epoch Epoch) {
	e, ok := extentAt(r, ino, epoch, m.at)
	if !ok {
		e, ok = lastBefore(r, ino, epoch, m.at)
		ok = ok && e.end() > m.at
	}
	if ok && !m.extent(e) || m.at >= m.to {
		return
	}
	scanExtents(r, ino, epoch, m.at, m.to, m.extent)
}

// SeekData returns the first offset from off on that holds data; ok is false if there is none.
func SeekData(r index.Reader, ino ids.Ino, off int64) (at int64, ok bool) {
	Map(r, ino, off, MaxSize-off, func(p Piece) bool {
		if !p.Hole {
			at, ok = p.FileOff, true
		}
		return p.Hole
	})
	return at, ok
}

// SeekHole returns the first offset from off on that holds none, which is at the latest the end of the
// file; ok is false if off is there already or beyond.
func SeekHole(r index.Reader, ino ids.Ino, off int64) (at int64, ok bool) {
	Map(r, ino, off, MaxSize-off, func(p Piece) bool {
		ok = true
		if at = p.FileOff; !p.Hole {
			at += p.Len
		}
		return !p.Hole
	})
	return at, ok
}

// Usage returns the bytes in extents of all files. Shared ones count once for each file.
func Usage(r index.Reader) int64 { return loadCounters(r).bytes }

// Garbage says whether there is something for Purge to do.
func Garbage(r index.Reader) bool { return loadCounters(r).garbage > 0 }

// firstGarbage returns the first body that is garbage.
func firstGarbage(r index.Reader) (ino ids.Ino, epoch Epoch, ok bool) {
	from, to := tableRange(tableGarbage)
	r.Scan(from, to, func(k, _ []byte) bool {
		ino, epoch = parseGarbageKey(k)
		ok = true
		return false
	})
	return ino, epoch, ok
}

// freshEpoch returns an epoch of a file without attributes, none of whose extents are left from a file
// that was dropped.
func freshEpoch(r index.Reader, ino ids.Ino) Epoch {
	if !Garbage(r) {
		return 0
	}
	k, _, ok := r.Last(garbageKey(ino, 0), garbageKey(ino+1, 0))
	if !ok {
		return 0
	}
	_, epoch := parseGarbageKey(k)
	return epoch + 1
}

// Digest is a hash over all records but for the places in the log, which differ between replicas. It
// does not depend on how the records are stored or on what the past was.
func Digest(r index.Reader) uint64 {
	h := sha256.New()
	var buf []byte
	r.Scan([]byte{0}, []byte{0xff}, func(k, v []byte) bool {
		if k[0] == tableExtent {
			e := mustExtent(k, v)
			v = binary.AppendUvarint(nil, uint64(e.Len))
		}
		buf = binary.BigEndian.AppendUint32(buf[:0], uint32(len(k)))
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(v)))
		h.Write(append(append(buf, k...), v...))
		return true
	})
	return binary.BigEndian.Uint64(h.Sum(nil))
}

func mustExtent(key, value []byte) Extent {
	e, err := DecodeExtent(key, value)
	if err != nil {
		panicf("O6: %v", err)
	}
	return e
}

// extentAt returns the extent that begins at off.
func extentAt(r index.Reader, ino ids.Ino, epoch Epoch, off int64) (Extent, bool) {
	k := ExtentKey(ino, epoch, off)
	v, ok := r.Get(k)
	if !ok {
		return Extent{}, false
	}
	return mustExtent(k, v), true
}

// lastBefore returns the last extent that begins before off.
func lastBefore(r index.Reader, ino ids.Ino, epoch Epoch, off int64) (Extent, bool) {
	k, v, ok := r.Last(ExtentKey(ino, epoch, 0), ExtentKey(ino, epoch, off))
	if !ok {
		return Extent{}, false
	}
	return mustExtent(k, v), true
}

// scanExtents calls fn for the extents that begin in [from, to).
func scanExtents(r index.Reader, ino ids.Ino, epoch Epoch, from, to int64, fn func(Extent) bool) {
	r.Scan(ExtentKey(ino, epoch, from), ExtentKey(ino, epoch, to), func(k, v []byte) bool {
		return fn(mustExtent(k, v))
	})
}
