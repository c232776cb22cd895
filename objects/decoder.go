package objects

import (
	"encoding/binary"
	"math"
)

// decoder takes fields off the front of some bytes. After the first that is not there every further
// field is zero and done is false, so callers check once, at the end.
type decoder struct {
	rest   []byte
	failed bool
}

// done says whether every field was there and nothing is left.
func (d *decoder) done() bool { return !d.failed && len(d.rest) == 0 }

// skip takes the n bytes of a field; n <= 0 says that it was not there.
func (d *decoder) skip(n int) bool {
	if d.failed = d.failed || n <= 0; d.failed {
		return false
	}
	d.rest = d.rest[n:]
	return true
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.failed = true
		return 0
	}
	b := d.rest[0]
	d.skip(1)
	return b
}

func (d *decoder) bool() bool {
	b := d.byte()
	d.failed = d.failed || b > 1
	return b == 1
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if !d.skip(n) {
		return 0
	}
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if !d.skip(n) {
		return 0
	}
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > math.MaxUint32 {
		d.failed = true
		return 0
	}
	return uint32(v)
}

// size takes an offset or a length.
func (d *decoder) size() int64 {
	v := d.uvarint()
	if v > MaxSize {
		d.failed = true
		return 0
	}
	return int64(v)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendUvarints(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}
