package record

import (
	"encoding/binary"
	"hash/crc32"

	"dfs/errs"
)

// HeadSize reads from the first HeaderSize bytes of a record how long its head is: header, sums and
// operation, everything that the header's checksum covers. It fails as PeekSize does.
func HeadSize(b []byte) (int, error) {
	if _, err := PeekSize(b); err != nil {
		return 0, err
	}
	return Record(b).headEnd(), nil
}

// ParseHead verifies the head at the start of b, where the data need not be, and returns it (R1). Of the
// result only Header, Kind, Op, Sum, VerifyBlock, DataLen, DataOffset, Position and Timestamp may be
// used. It fails with errs.Corrupt.
func ParseHead(b []byte) (Record, error) {
	n, err := HeadSize(b)
	if err != nil {
		return nil, err
	}
	if n > len(b) {
		return nil, errs.New(errs.Corrupt, "record head of %d bytes is cut at %d", n, len(b))
	}
	r := Record(b[:n])
	if want, got := binary.LittleEndian.Uint32(r[4:]), crc32.Checksum(r[8:], castagnoli); want != got {
		return nil, errs.New(errs.Corrupt, "record header has checksum %08x, stored is %08x", got, want)
	}
	return r, nil
}

// PadHead returns the header of a Pad that fills size bytes, which must be a multiple of Align and at
// least HeaderSize; what it fills is not there.
func PadHead(size int, h Header) Record {
	h.Kind, h.OpLen, h.DataLen = Pad, 0, uint32(size-HeaderSize)
	r := Record(make([]byte, HeaderSize))
	put(r, &h)
	r.seal()
	return r
}
