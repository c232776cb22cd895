package versionlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
)

// LSN is a position in the log: the number of bytes before it, over all segments that ever were.
// Records start on multiples of 64. 0 is no record, for every segment starts with its header.
type LSN uint64

const (
	headerSize    = 64 // of a segment
	segmentMagic  = "dfsLOGv1"
	segmentPrefix = "segment-"
	unit          = record.Align
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A segment is one file of the log.
type segment struct {
	number uint64
	// What the log held before the segment: the version and timestamp of the last Op record, and the
	// greatest version.
	lastVersion, maxVersion ids.Version
	lastTimestamp           hlc.Timestamp
}

func segmentName(number uint64) string { return fmt.Sprintf("%s%010d", segmentPrefix, number) }

// parseSegmentName returns the number of a segment file; other files are not the log's.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok || len(digits) < 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 40)
	return n, err == nil && segmentName(n) == name
}

// encode returns the header with which a segment file starts:
//
//	 0  8  magic "dfsLOGv1"
//	 8  4  CRC-32C of bytes 12 to 64
//	12  4  format, 1
//	16  8  number
//	24  8  size of the segments of this log
//	32  8  version of the last Op record before the segment
//	40  8  its timestamp
//	48  8  greatest version before the segment
//	56  8  zero
func (s segment) encode(size int64) []byte {
	b := make([]byte, headerSize)
	copy(b, segmentMagic)
	le := binary.LittleEndian
	le.PutUint32(b[12:], 1)
	le.PutUint64(b[16:], s.number)
	le.PutUint64(b[24:], uint64(size))
	le.PutUint64(b[32:], uint64(s.lastVersion))
	le.PutUint64(b[40:], uint64(s.lastTimestamp))
	le.PutUint64(b[48:], uint64(s.maxVersion))
	le.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b
}

// decodeSegment reads a segment header. It fails with errs.Corrupt.
func decodeSegment(b []byte) (s segment, size int64, err error) {
	le := binary.LittleEndian
	switch {
	case len(b) < headerSize:
		return s, 0, errs.New(errs.Corrupt, "segment header is cut at %d bytes", len(b))
	case string(b[:8]) != segmentMagic:
		return s, 0, errs.New(errs.Corrupt, "segment header starts with %x", b[:8])
	case le.Uint32(b[8:]) != crc32.Checksum(b[12:headerSize], castagnoli):
		return s, 0, errs.New(errs.Corrupt, "segment header fails its checksum")
	case le.Uint32(b[12:]) != 1:
		return s, 0, errs.New(errs.Corrupt, "segment format is %d, this program knows 1", le.Uint32(b[12:]))
	}
	s = segment{
		number:        le.Uint64(b[16:]),
		lastVersion:   ids.Version(le.Uint64(b[32:])),
		lastTimestamp: hlc.Timestamp(le.Uint64(b[40:])),
		maxVersion:    ids.Version(le.Uint64(b[48:])),
	}
	size = int64(le.Uint64(b[24:]))
	if size < MinSegmentSize || size > MaxSegmentSize || size%4096 != 0 {
		return s, 0, errs.New(errs.Corrupt, "segment header gives a size of %d", size)
	}
	return s, size, nil
}

func isZero(b []byte) bool {
	const chunk = 64
	var zeros [chunk]byte
	for len(b) > chunk {
		if !bytes.Equal(b[:chunk], zeros[:]) {
			return false
		}
		b = b[chunk:]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// window reads a segment file forward through a buffer. Beyond the end of a file that a crash left
// short it reads zeros.
type window struct {
	f     nvm.File
	start LSN   // of the segment
	size  int64 // of the segment
	ahead int   // bytes read at once
	buf   []byte
	off   int64 // of buf in the file
}

// view returns n bytes at off, valid until the next call; off+n must be inside of the segment.
func (w *window) view(off int64, n int) ([]byte, error) {
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[off-w.off:][:n], nil
	}
	want := int(min(int64(max(n, w.ahead)), w.size-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.off = w.buf[:want], off
	got, err := w.f.ReadAt(w.buf, off)
	if err != nil && err != io.EOF {
		w.buf = w.buf[:0]
		return nil, err
	}
	clear(w.buf[got:])
	return w.buf[:n], nil
}

// corrupt says what is wrong at an offset of the file.
func (w *window) corrupt(off int64, cause error) error {
	return errs.Wrap(errs.Corrupt, cause, "%v at offset %d", w.f, off)
}

// head returns the verified head of the record at off and the record's size. Damage is errs.Corrupt
// naming the place; other errors are of the storage.
func (w *window) head(off int64) (head record.Record, size int, err error) {
	b, err := w.view(off, headerSize)
	if err != nil {
		return nil, 0, err
	}
	size, err = record.PeekSize(b)
	if err != nil {
		return nil, 0, w.corrupt(off, err)
	}
	if off+int64(size) > w.size {
		return nil, 0, w.corrupt(off, errs.New(errs.Corrupt, "record of %d bytes does not fit the segment", size))
	}
	n, err := record.HeadSize(b)
	if err != nil {
		return nil, 0, w.corrupt(off, err)
	}
	if b, err = w.view(off, n); err != nil {
		return nil, 0, err
	}
	if head, err = record.ParseHead(b); err != nil {
		return nil, 0, w.corrupt(off, err)
	}
	if at := w.start + LSN(off); head.Position() != uint64(at) {
		return nil, 0, w.corrupt(off, errs.New(errs.Corrupt, "record says it is at position %d, not %d", head.Position(), at))
	}
	if head.Kind() == record.Pad && off+int64(size) != w.size {
		return nil, 0, w.corrupt(off, errs.New(errs.Corrupt, "filler of %d bytes does not end the segment", size))
	}
	return head, size, nil
}

// record returns the verified record at off, with its data verified too, valid until the next call.
// Of a Pad only the header is there.
func (w *window) record(off int64) (r record.Record, size int, err error) {
	head, size, err := w.head(off)
	if err != nil || head.Kind() == record.Pad {
		return head, size, err
	}
	b, err := w.view(off, size)
	if err != nil {
		return nil, 0, err
	}
	if r, err = record.Parse(b); err == nil {
		err = r.VerifyData()
	}
	if err != nil {
		return nil, 0, w.corrupt(off, err)
	}
	return r, size, nil
}
