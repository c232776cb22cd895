package namespace

import (
	"encoding/binary"
	"math"

	"dfs/ids"
)

// decoder takes fields off the front of some bytes. After the first that is not there every further
// field is zero and done is false, so callers check once, at the end.
type decoder struct {
	rest   []byte
	failed bool
}

// done says whether every field was there and nothing is left.
func (d *decoder) done() bool { return !d.failed && len(d.rest) == 0 }

func (d *decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.rest) {
		d.failed = true
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) bool() bool {
	b := d.byte()
	d.failed = d.failed || b > 1
	return b == 1
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.take(max(n, 1)); n <= 0 || d.failed {
		d.failed = true
		return 0
	}
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if d.take(max(n, 1)); n <= 0 || d.failed {
		d.failed = true
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

func (d *decoder) ino() ids.Ino { return ids.Ino(d.uvarint()) }

// bytes takes a length and that many bytes, at most limit.
func (d *decoder) bytes(limit int) []byte {
	n := d.uvarint()
	if n > uint64(limit) {
		d.failed = true
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) string(limit int) string { return string(d.bytes(limit)) }

// count takes the length of a list whose items are at least one byte each, so that a length that was
// read never makes more room than there are bytes.
func (d *decoder) count(limit int) int {
	n := d.uvarint()
	if n > uint64(limit) || n > uint64(len(d.rest)) {
		d.failed = true
		return 0
	}
	return int(n)
}

func (d *decoder) inos() []ids.Ino {
	list := make([]ids.Ino, d.count(MaxBatch))
	for i := range list {
		list[i] = d.ino()
	}
	return list
}

func (d *decoder) nodes() []ids.NodeID {
	list := make([]ids.NodeID, d.count(MaxMembers))
	for i := range list {
		list[i] = ids.NodeID(d.uint32())
	}
	return list
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
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

func appendInos(b []byte, list []ids.Ino) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, ino := range list {
		b = binary.AppendUvarint(b, uint64(ino))
	}
	return b
}

func appendNodes(b []byte, list []ids.NodeID) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, id := range list {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}
