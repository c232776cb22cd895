package objects

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/ids"
)

// Decode reads an encoded operation. It fails with errs.Invalid.
func Decode(b []byte) (Op, error) {
	d := decoder{rest: b}
	op := d.op()
	if op == nil || !d.done() {
		return nil, errs.New(errs.Invalid, "objects operation of %d bytes cannot be read", len(b))
	}
	return op, nil
}

// op takes a whole operation. Fields of composite literals are evaluated in the order written.
func (d *decoder) op() Op {
	switch code(d.byte()) {
	case codeWrite:
		return Write{Ino: d.ino(), Off: d.size()}
	case codeAppend:
		return Append{Ino: d.ino()}
	case codeTruncate:
		return Truncate{Ino: d.ino(), Size: d.size()}
	case codeSetTimes:
		return SetTimes{Ino: d.ino(), Atime: d.time(), Mtime: d.time(), KeepCtime: d.bool()}
	case codeDrop:
		return Drop{Inos: d.inos()}
	case codePunchHole:
		return PunchHole{Ino: d.ino(), Off: d.size(), Len: d.size()}
	case codeZeroRange:
		return ZeroRange{Ino: d.ino(), Off: d.size(), Len: d.size(), KeepSize: d.bool()}
	case codeAllocate:
		return Allocate{Ino: d.ino(), Off: d.size(), Len: d.size(), KeepSize: d.bool()}
	case codeClone:
		return Clone{Src: d.ino(), SrcOff: d.size(), Dst: d.ino(), DstOff: d.size(), Len: d.size()}
	case codePurge:
		return Purge{}
	}
	return nil
}

func (d *decoder) ino() ids.Ino { return ids.Ino(d.uvarint()) }

func (d *decoder) time() Time {
	t := Time{Kind: TimeKind(d.byte()), At: d.varint()}
	d.failed = d.failed || t.Kind > TimeAt
	return t
}

// inos takes a list. An inode number is at least one byte, so a length that was read never makes
// more room than there are bytes.
func (d *decoder) inos() []ids.Ino {
	n := d.uvarint()
	if n > MaxBatch || n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	list := make([]ids.Ino, n)
	for i := range list {
		list[i] = d.ino()
	}
	return list
}

// DecodeOffset reads the result of Append: where the data went. It fails with errs.Corrupt.
func DecodeOffset(b []byte) (int64, error) { return decodeSize(b) }

// DecodeLength reads the result of Clone: how many bytes were copied. It fails with errs.Corrupt.
func DecodeLength(b []byte) (int64, error) { return decodeSize(b) }

func decodeSize(b []byte) (int64, error) {
	d := decoder{rest: b}
	n := d.size()
	if !d.done() {
		return 0, errs.New(errs.Corrupt, "result %x cannot be read", b)
	}
	return n, nil
}

func encodeSize(n int64) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// DecodeMore reads the result of Purge: whether there is more garbage. It fails with errs.Corrupt.
func DecodeMore(b []byte) (bool, error) {
	d := decoder{rest: b}
	more := d.bool()
	if !d.done() {
		return false, errs.New(errs.Corrupt, "result %x cannot be read", b)
	}
	return more, nil
}
