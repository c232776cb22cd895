package objects

import (
	"encoding/binary"
	"math"

	"dfs/errs"
	"dfs/ids"
)

// MaxSize is the largest size of a file.
const MaxSize = math.MaxInt64

// MaxExtent is the longest extent; longer writes become several.
const MaxExtent = 1 << 20

// Epoch numbers the bodies of extents that a file had: when a large file is emptied it begins a new
// one, and the old one is deleted little by little.
type Epoch uint32

// Attr is what is known of a file besides its extents. Times are nanoseconds since the unix epoch;
// each counts only if it was ever set.
type Attr struct {
	Size                int64
	Bytes               int64  // in extents: Size without the holes
	Extents             uint64 // how many
	Epoch               Epoch  // of the extents
	Set                 TimeMask
	Atime, Mtime, Ctime int64
}

// TimeMask says which times of an Attr were set. The others are those of the inode.
type TimeMask uint8

// The times.
const (
	AtimeSet TimeMask = 1 << iota
	MtimeSet
	CtimeSet
	allSet TimeMask = 1<<iota - 1
)

// Times puts the file's times together with those of its inode: what was never set here is the
// inode's, and the ctime is the later one.
func (a *Attr) Times(atime, mtime, ctime int64) (int64, int64, int64) {
	if a.Set&AtimeSet != 0 {
		atime = a.Atime
	}
	if a.Set&MtimeSet != 0 {
		mtime = a.Mtime
	}
	if a.Set&CtimeSet != 0 {
		ctime = max(ctime, a.Ctime)
	}
	return atime, mtime, ctime
}

const attrFormat = 1

// Encode returns the attributes' record; the table in the package comment has its layout.
func (a *Attr) Encode() []byte {
	b := append(make([]byte, 0, 48), attrFormat, byte(a.Set))
	for _, v := range [...]uint64{uint64(a.Size), uint64(a.Bytes), a.Extents, uint64(a.Epoch)} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendVarint(b, a.Ctime)
	b = binary.AppendVarint(b, a.Mtime-a.Ctime)
	return binary.AppendVarint(b, a.Atime-a.Ctime)
}

// DecodeAttr reads a file's attributes. It fails with errs.Corrupt.
func DecodeAttr(b []byte) (Attr, error) {
	d := decoder{rest: b}
	format, set := d.byte(), TimeMask(d.byte())
	a := Attr{Set: set, Size: d.size(), Bytes: d.size(), Extents: d.uvarint(), Epoch: Epoch(d.uint32())}
	a.Ctime = d.varint()
	a.Mtime, a.Atime = a.Ctime+d.varint(), a.Ctime+d.varint()
	if !d.done() || format != attrFormat || set&^allSet != 0 {
		return Attr{}, errs.New(errs.Corrupt, "attributes %x cannot be read", b)
	}
	return a, nil
}

// Extent is a run of a file's bytes that lies in the log in one piece.
type Extent struct {
	Ino     ids.Ino
	Epoch   Epoch
	FileOff int64
	Len     int64
	LSN     uint64 // of the record that has the bytes
	Off     int64  // where they begin in the data of the record
}

func (e *Extent) end() int64 { return e.FileOff + e.Len }

// Key returns the extent's key.
func (e *Extent) Key() []byte { return ExtentKey(e.Ino, e.Epoch, e.FileOff) }

// Encode returns the extent's value.
func (e *Extent) Encode() []byte {
	b := make([]byte, 0, 16)
	b = binary.AppendUvarint(b, uint64(e.Len))
	b = binary.AppendUvarint(b, e.LSN)
	return binary.AppendUvarint(b, uint64(e.Off))
}

// DecodeExtent reads an extent from its key and value. It fails with errs.Corrupt.
func DecodeExtent(key, value []byte) (Extent, error) {
	if len(key) != extentKeySize || key[0] != tableExtent {
		return Extent{}, errs.New(errs.Corrupt, "extent key %x cannot be read", key)
	}
	be := binary.BigEndian
	e := Extent{Ino: ids.Ino(be.Uint64(key[1:])), Epoch: Epoch(be.Uint32(key[9:])), FileOff: int64(be.Uint64(key[13:]))}
	d := decoder{rest: value}
	e.Len, e.LSN, e.Off = d.size(), d.uvarint(), d.size()
	if !d.done() || e.FileOff < 0 || e.Len == 0 || e.Len > MaxExtent || e.FileOff > MaxSize-e.Len {
		return Extent{}, errs.New(errs.Corrupt, "extent %x of %x cannot be read", value, key)
	}
	return e, nil
}
