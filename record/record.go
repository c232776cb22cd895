package record

import (
	"encoding/binary"
	"hash/crc32"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// Sizes of the format, in bytes.
const (
	HeaderSize = 64      // the fixed header
	Align      = 64      // every record and its data start on a multiple of this
	BlockSize  = 4096    // data bytes under one sum
	MaxOp      = 1 << 20 // longest operation
	MaxData    = 8 << 20 // longest data
)

const (
	magic  = 0x52736664 // "dfsR"
	format = 1
)

// Kind says what a record is.
type Kind uint8

// The kinds of record.
const (
	Op   Kind = 1 // an operation of a subgroup
	Pad  Kind = 2 // filler up to the end of a ring or segment; dataLen says how much, its data is not summed
	View Kind = 3 // a view was installed on this node; the operation is the view
	Mark Kind = 4 // written after a sync when nothing else was, so that its durable field says so
	Copy Kind = 5 // data of a record that lies hollow in the same log; the operation is the position of that, u64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the fixed part of a record.
type Header struct {
	Version     ids.Version
	Timestamp   hlc.Timestamp
	Position    uint64
	Origin      ids.NodeID
	Incarnation uint32
	Counter     uint64
	OpLen       uint32
	DataLen     uint32
	Subgroup    ids.Subgroup
	Kind        Kind
	Durable     uint32
}

// Record is the bytes of one whole record, verified by Parse or made by Build.
type Record []byte

func roundUp(n int) int { return (n + Align - 1) &^ (Align - 1) }

func blocks(dataLen int) int { return (dataLen + BlockSize - 1) / BlockSize }

func sumsLen(k Kind, dataLen int) int {
	if k == Pad {
		return 0
	}
	return 4 * blocks(dataLen)
}

// Size returns the whole length in bytes of a record that is not a Pad.
func Size(opLen, dataLen int) int {
	return roundUp(HeaderSize+sumsLen(Op, dataLen)+opLen) + roundUp(dataLen)
}

func put(b []byte, h *Header) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], magic)
	le.PutUint64(b[8:], uint64(h.Version))
	le.PutUint64(b[16:], uint64(h.Timestamp))
	le.PutUint64(b[24:], h.Position)
	le.PutUint32(b[32:], uint32(h.Origin))
	le.PutUint32(b[36:], h.Incarnation)
	le.PutUint64(b[40:], h.Counter)
	le.PutUint32(b[48:], h.OpLen)
	le.PutUint32(b[52:], h.DataLen)
	le.PutUint16(b[56:], uint16(h.Subgroup))
	b[58], b[59] = byte(h.Kind), format
	le.PutUint32(b[60:], h.Durable)
}

// Build writes a record into dst, which must be Size(len(op), sum of data) bytes long, and returns it.
// The lengths in h are set from op and data. The only copy of the data is the one into dst.
func Build(dst []byte, h Header, op []byte, data ...[]byte) Record {
	n := 0
	for _, d := range data {
		n += len(d)
	}
	h.OpLen, h.DataLen = uint32(len(op)), uint32(n)
	put(dst, &h)
	opAt := HeaderSize + sumsLen(h.Kind, n)
	dataAt := roundUp(opAt + len(op))
	end := opAt + copy(dst[opAt:], op)
	clear(dst[end:dataAt])
	fill(dst[dataAt:dataAt+n], dst[HeaderSize:], data)
	clear(dst[dataAt+n:])
	r := Record(dst)
	r.seal()
	return r
}

// fill copies data into dst, which is as long, and the sum of each block into sums: block by block, so that
// what is summed is in the processor's cache.
func fill(dst, sums []byte, data [][]byte) {
	got := 0 // bytes of the first block of dst
	for _, d := range data {
		for len(d) > 0 {
			block := dst[:min(BlockSize, len(dst))]
			n := copy(block[got:], d)
			d = d[n:]
			if got += n; got < len(block) {
				continue
			}
			binary.LittleEndian.PutUint32(sums, crc32.Checksum(block, castagnoli))
			dst, sums, got = dst[got:], sums[4:], 0
		}
	}
}

// BuildPad writes the header of a Pad that fills dst, whose length must be a multiple of Align and at
// least HeaderSize. What lies behind the header stays as it is.
func BuildPad(dst []byte, h Header) Record {
	h.Kind, h.OpLen, h.DataLen = Pad, 0, uint32(len(dst)-HeaderSize)
	put(dst, &h)
	r := Record(dst)
	r.seal()
	return r
}

func (r Record) headEnd() int {
	return HeaderSize + sumsLen(r.Kind(), r.DataLen()) + int(binary.LittleEndian.Uint32(r[48:]))
}

func (r Record) seal() {
	binary.LittleEndian.PutUint32(r[4:], crc32.Checksum(r[8:r.headEnd()], castagnoli))
}

// PeekSize reads the length of the whole record from its first HeaderSize bytes, without verifying
// its checksum. It fails with errs.Corrupt if they cannot be a header.
func PeekSize(b []byte) (int, error) {
	if len(b) < HeaderSize {
		return 0, errs.New(errs.Corrupt, "record of %d bytes is shorter than a header", len(b))
	}
	le := binary.LittleEndian
	m := le.Uint32(b)
	if m != magic && m != hollowMagic {
		return 0, errs.New(errs.Corrupt, "record magic is %#x, want %#x", m, uint32(magic))
	}
	if b[59] != format {
		return 0, errs.New(errs.Corrupt, "record format is %d, this program knows %d", b[59], format)
	}
	kind, opLen, dataLen := Kind(b[58]), le.Uint32(b[48:]), le.Uint32(b[52:])
	switch {
	case kind < Op || kind > Copy:
		return 0, errs.New(errs.Corrupt, "record kind is %d", kind)
	case m == hollowMagic && kind != Op:
		return 0, errs.New(errs.Corrupt, "record of kind %d without its data", kind)
	case kind == Pad && (opLen != 0 || dataLen%Align != 0):
		return 0, errs.New(errs.Corrupt, "pad with an operation of %d and %d bytes", opLen, dataLen)
	case kind == Pad:
		return HeaderSize + int(dataLen), nil
	case opLen > MaxOp || dataLen > MaxData:
		return 0, errs.New(errs.Corrupt, "record claims an operation of %d and data of %d bytes", opLen, dataLen)
	case m == hollowMagic && dataLen == 0:
		return 0, errs.New(errs.Corrupt, "record without its data, which is of no bytes")
	case m == hollowMagic:
		return roundUp(HeaderSize + sumsLen(kind, int(dataLen)) + int(opLen)), nil
	}
	return Size(int(opLen), int(dataLen)), nil
}

// Parse verifies the record at the start of b and returns it, cut to its length; bytes behind it are
// ignored. The sums of the data are not verified (see VerifyData). It fails with errs.Corrupt (R1).
func Parse(b []byte) (Record, error) {
	n, err := PeekSize(b)
	if err != nil {
		return nil, err
	}
	// A pad's filler need not be there: only its header is read.
	if n > len(b) && Kind(b[58]) != Pad {
		return nil, errs.New(errs.Corrupt, "record of %d bytes is cut at %d", n, len(b))
	}
	r := Record(b[:min(n, len(b))])
	if want, got := binary.LittleEndian.Uint32(r[4:]), crc32.Checksum(r[8:r.headEnd()], castagnoli); want != got {
		return nil, errs.New(errs.Corrupt, "record header has checksum %08x, stored is %08x", got, want)
	}
	return r, nil
}

// Header returns the fixed part.
func (r Record) Header() Header {
	le := binary.LittleEndian
	return Header{
		Version:     ids.Version(le.Uint64(r[8:])),
		Timestamp:   hlc.Timestamp(le.Uint64(r[16:])),
		Position:    le.Uint64(r[24:]),
		Origin:      ids.NodeID(le.Uint32(r[32:])),
		Incarnation: le.Uint32(r[36:]),
		Counter:     le.Uint64(r[40:]),
		OpLen:       le.Uint32(r[48:]),
		DataLen:     le.Uint32(r[52:]),
		Subgroup:    ids.Subgroup(le.Uint16(r[56:])),
		Kind:        r.Kind(),
		Durable:     le.Uint32(r[60:]),
	}
}

// Kind returns what the record is.
func (r Record) Kind() Kind { return Kind(r[58]) }

// Size returns the length of the whole record, also of a Pad whose filler is not in r.
func (r Record) Size() int {
	if r.Kind() == Pad {
		return HeaderSize + r.DataLen()
	}
	return len(r)
}

// Subgroup returns whose operation the record is.
func (r Record) Subgroup() ids.Subgroup { return ids.Subgroup(binary.LittleEndian.Uint16(r[56:])) }

// DataLen returns the number of data bytes, also of a hollow record.
func (r Record) DataLen() int { return int(binary.LittleEndian.Uint32(r[52:])) }

// Position returns the slot (in a ring) or the LSN (in the log).
func (r Record) Position() uint64 { return binary.LittleEndian.Uint64(r[24:]) }

// Timestamp returns the sender's clock (in a ring) or the delivery's timestamp (in the log).
func (r Record) Timestamp() hlc.Timestamp { return hlc.Timestamp(binary.LittleEndian.Uint64(r[16:])) }

// Op returns the operation's bytes, which share r's memory.
func (r Record) Op() []byte {
	end := r.headEnd()
	return r[end-int(binary.LittleEndian.Uint32(r[48:])) : end : end]
}

// DataOffset returns where the data starts in the record.
func (r Record) DataOffset() int { return roundUp(r.headEnd()) }

// Data returns the data, unverified, sharing r's memory (R2); that of a hollow record is not there.
func (r Record) Data() []byte {
	if r.Kind() == Pad || r.Hollow() {
		return nil
	}
	at := r.DataOffset()
	return r[at : at+r.DataLen() : at+r.DataLen()]
}

// Sum returns the stored checksum of data block i.
func (r Record) Sum(i int) uint32 { return binary.LittleEndian.Uint32(r[HeaderSize+4*i:]) }

// VerifyBlock reports whether data is what the sender summed as block i.
func (r Record) VerifyBlock(i int, data []byte) bool {
	return crc32.Checksum(data, castagnoli) == r.Sum(i)
}

// VerifyData checks every block of the data; it fails with errs.Corrupt, naming the block.
func (r Record) VerifyData() error {
	data := r.Data()
	for i := range blocks(len(data)) {
		if !r.VerifyBlock(i, data[i*BlockSize:min((i+1)*BlockSize, len(data))]) {
			return errs.New(errs.Corrupt, "data block %d of a record of %d bytes fails its checksum", i, len(r))
		}
	}
	return nil
}

// Stamp sets the sender's clock and slot, just before the record is published.
func (r Record) Stamp(t hlc.Timestamp, slot uint64) {
	binary.LittleEndian.PutUint64(r[16:], uint64(t))
	binary.LittleEndian.PutUint64(r[24:], slot)
	r.seal()
}

// Deliver sets what delivery decides.
func (r Record) Deliver(v ids.Version, t hlc.Timestamp) {
	binary.LittleEndian.PutUint64(r[8:], uint64(v))
	binary.LittleEndian.PutUint64(r[16:], uint64(t))
}

// Finish sets what the log decides, and makes the header's checksum match again (R3). It comes after
// Deliver.
func (r Record) Finish(lsn uint64, durable uint32) {
	binary.LittleEndian.PutUint64(r[24:], lsn)
	binary.LittleEndian.PutUint32(r[60:], durable)
	r.seal()
}
