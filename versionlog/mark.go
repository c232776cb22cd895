package versionlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"dfs/errs"
	"dfs/nvm"
)

const (
	markName  = "mark"
	markMagic = "dfsMARK1"
	markSize  = 8192
	markSlot  = 4096
	markLen   = 32
)

// mark is the file that says how far the log is durable. It is written after every sync and not
// synced itself, so it may be behind, but it is never ahead. It has two slots, written in turn:
//
//	 0  8  magic "dfsMARK1"
//	 8  4  CRC-32C of bytes 12 to 32
//	12  4  zero
//	16  8  the durable end of the log
//	24  8  zero
type mark struct {
	f    nvm.File
	slot int64 // to be written next
}

// readMark returns what the mark of a log says, 0 if there is none, and the slot to be written next.
func readMark(dir nvm.Dir) (durable LSN, slot int64, err error) {
	f, err := dir.Open(markName)
	if errors.Is(err, errs.NotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for i := range int64(2) {
		b := make([]byte, markLen)
		if _, err := f.ReadAt(b, i*markSlot); err != nil && err != io.EOF {
			return 0, 0, err
		}
		// A slot that is torn or was never written says nothing.
		if at, ok := decodeMark(b); ok && at >= durable {
			durable, slot = at, 1-i
		}
	}
	return durable, slot, nil
}

// openMark opens the mark for writing, and makes it if there is none.
func openMark(dir nvm.Dir, slot int64) (*mark, error) {
	f, err := dir.OpenWrite(markName, markSize)
	if errors.Is(err, errs.NotFound) {
		f, err = dir.Create(markName, markSize)
	}
	if err != nil {
		return nil, err
	}
	return &mark{f: f, slot: slot}, nil
}

func decodeMark(b []byte) (durable LSN, ok bool) {
	if string(b[:8]) != markMagic || binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[12:markLen], castagnoli) {
		return 0, false
	}
	return LSN(binary.LittleEndian.Uint64(b[16:])), true
}

// write says that the log is durable up to there.
func (m *mark) write(durable LSN) error {
	b := make([]byte, markLen)
	copy(b, markMagic)
	binary.LittleEndian.PutUint64(b[16:], uint64(durable))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	slot := m.slot
	m.slot = 1 - slot
	return m.f.WriteAt(slot*markSlot, b)
}
