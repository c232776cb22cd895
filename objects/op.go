package objects

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/ids"
)

// Bounds on the work of one operation, so that none holds up the others for long.
const (
	MaxBatch  = 4096 // inodes in one Drop
	MaxPieces = 4096 // extents that one Clone makes; it copies less if there are more
	MaxPurge  = 1024 // extents that one Purge or Drop deletes
	// inlineDelete is how many extents of a file Truncate to nothing and Drop delete at once; of more
	// they make garbage for Purge.
	inlineDelete = 64
)

// code is the first byte of an encoded operation. The numbers are in logs: only append.
type code byte

const (
	codeWrite     code = 1
	codeAppend    code = 2
	codeTruncate  code = 3
	codeSetTimes  code = 4
	codeDrop      code = 5
	codePunchHole code = 6
	codeZeroRange code = 7
	codeAllocate  code = 8
	codeClone     code = 9
	codePurge     code = 10
)

// Op is one operation on file contents. Encode gives the bytes that Apply and Decode take.
type Op interface {
	Encode() []byte
	apply(c *change) (errs.Kind, []byte)
}

// Write puts the record's data into a file. Without data it changes nothing. Result: none.
type Write struct {
	Ino ids.Ino
	Off int64
}

// Append puts the record's data at the end of a file. Result: DecodeOffset, where that was.
type Append struct{ Ino ids.Ino }

// Truncate sets the size of a file. Result: none.
type Truncate struct {
	Ino  ids.Ino
	Size int64
}

// TimeKind says what becomes of a time.
type TimeKind uint8

// What SetTimes may do to a time.
const (
	TimeOmit TimeKind = 0 // nothing
	TimeNow  TimeKind = 1 // it becomes the operation's timestamp
	TimeAt   TimeKind = 2 // it becomes the one given
)

// Time is what SetTimes does to one time.
type Time struct {
	Kind TimeKind
	At   int64 // nanoseconds since the unix epoch, for TimeAt
}

// SetTimes sets times of a file, and its ctime unless KeepCtime says otherwise, as a read does that
// notes its time. Result: none.
type SetTimes struct {
	Ino          ids.Ino
	Atime, Mtime Time
	KeepCtime    bool
}

// Drop deletes files that the namespace does not know any more. Result: none.
type Drop struct{ Inos []ids.Ino }

// PunchHole makes a range read as zeros and frees what it held; the size stays. Result: none.
type PunchHole struct {
	Ino      ids.Ino
	Off, Len int64
}

// ZeroRange makes a range read as zeros; the file grows to hold it unless KeepSize. Result: none.
type ZeroRange struct {
	Ino      ids.Ino
	Off, Len int64
	KeepSize bool
}

// Allocate makes a file large enough to hold a range, unless KeepSize; it takes no room. Result: none.
type Allocate struct {
	Ino      ids.Ino
	Off, Len int64
	KeepSize bool
}

// Clone makes a range of Dst the same as one of Src, sharing the bytes in the log. It ends at the end
// of Src, and after MaxPieces extents. Ranges of one file must not overlap. Result: DecodeLength, how
// many bytes were copied.
type Clone struct {
	Src    ids.Ino
	SrcOff int64
	Dst    ids.Ino
	DstOff int64
	Len    int64
}

// Purge deletes extents that Truncate and Drop left as garbage, at most MaxPurge. Result:
// DecodeMore, whether there is more.
type Purge struct{}

// Encode returns the operation's bytes.
func (o Write) Encode() []byte {
	return appendUvarints([]byte{byte(codeWrite)}, uint64(o.Ino), uint64(o.Off))
}

// Encode returns the operation's bytes.
func (o Append) Encode() []byte { return appendUvarints([]byte{byte(codeAppend)}, uint64(o.Ino)) }

// Encode returns the operation's bytes.
func (o Truncate) Encode() []byte {
	return appendUvarints([]byte{byte(codeTruncate)}, uint64(o.Ino), uint64(o.Size))
}

// Encode returns the operation's bytes.
func (o SetTimes) Encode() []byte {
	b := appendUvarints([]byte{byte(codeSetTimes)}, uint64(o.Ino))
	for _, t := range [...]Time{o.Atime, o.Mtime} {
		b = binary.AppendVarint(append(b, byte(t.Kind)), t.At)
	}
	return appendBool(b, o.KeepCtime)
}

// Encode returns the operation's bytes.
func (o Drop) Encode() []byte {
	b := appendUvarints([]byte{byte(codeDrop)}, uint64(len(o.Inos)))
	for _, ino := range o.Inos {
		b = binary.AppendUvarint(b, uint64(ino))
	}
	return b
}

func encodeRange(c code, ino ids.Ino, off, length int64) []byte {
	return appendUvarints([]byte{byte(c)}, uint64(ino), uint64(off), uint64(length))
}

// Encode returns the operation's bytes.
func (o PunchHole) Encode() []byte { return encodeRange(codePunchHole, o.Ino, o.Off, o.Len) }

// Encode returns the operation's bytes.
func (o ZeroRange) Encode() []byte {
	return appendBool(encodeRange(codeZeroRange, o.Ino, o.Off, o.Len), o.KeepSize)
}

// Encode returns the operation's bytes.
func (o Allocate) Encode() []byte {
	return appendBool(encodeRange(codeAllocate, o.Ino, o.Off, o.Len), o.KeepSize)
}

// Encode returns the operation's bytes.
func (o Clone) Encode() []byte {
	return appendUvarints([]byte{byte(codeClone)}, uint64(o.Src), uint64(o.SrcOff),
		uint64(o.Dst), uint64(o.DstOff), uint64(o.Len))
}

// Encode returns the operation's bytes.
func (o Purge) Encode() []byte { return []byte{byte(codePurge)} }
