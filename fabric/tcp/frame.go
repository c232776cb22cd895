package tcp

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/fabric"
)

// Kinds of frames.
const (
	frameWrite   = 1
	frameWords   = 2
	frameMessage = 3
)

const (
	headerSize = 24
	// maxPayload is the most that one frame carries; longer writes are cut.
	maxPayload = 1 << 30
)

// header is what precedes a frame's payload.
type header struct {
	kind   uint8
	size   int
	region fabric.RegionID
	off    uint64
}

// put encodes h into the first headerSize bytes of b.
func (h header) put(b []byte) {
	binary.LittleEndian.PutUint32(b[0:], uint32(h.kind))
	binary.LittleEndian.PutUint32(b[4:], uint32(h.size))
	binary.LittleEndian.PutUint64(b[8:], uint64(h.region))
	binary.LittleEndian.PutUint64(b[16:], h.off)
}

// parseHeader decodes the first headerSize bytes of b.
func parseHeader(b []byte) (header, error) {
	kind, size := binary.LittleEndian.Uint32(b[0:]), binary.LittleEndian.Uint32(b[4:])
	h := header{
		kind:   uint8(kind),
		size:   int(size),
		region: fabric.RegionID(binary.LittleEndian.Uint64(b[8:])),
		off:    binary.LittleEndian.Uint64(b[16:]),
	}
	valid := false
	switch kind {
	case frameWrite:
		valid = size <= maxPayload
	case frameWords:
		valid = size <= maxPayload && size%8 == 0 && h.off%8 == 0
	case frameMessage:
		valid = size <= fabric.MaxMessage && h.region == 0 && h.off == 0
	}
	if !valid {
		return header{}, errs.New(errs.Corrupt, "frame of kind %d, %d bytes at region %#x offset %d makes no sense", kind, size, h.region, h.off)
	}
	return h, nil
}
