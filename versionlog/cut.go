package versionlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"dfs/errs"
	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
)

// A file of this name says that the log is being cut: magic, position, size of a segment, and their CRC-32C. As long as
// it is there, nothing behind the position counts, whatever a crash has left of it.
const (
	cutName  = "cut"
	cutMagic = "dfsCUT01"
	cutLen   = 32
)

// errFound ends a scan.
var errFound = errors.New("found")

// Cut takes off everything behind a version from the log in cfg.Dir, which nobody has open: a replica whose log goes on
// where no other's does has to forget that. It is done after a crash in the middle too, by the next Open.
// Positions behind the cut will name other records, so an index made of them must go first.
func Cut(cfg Config, after ids.Version) error {
	l, err := Open(cfg)
	if err != nil {
		return err
	}
	at := LSN(0)
	from, _ := l.Locate(after + 1)
	err = l.Scan(from, func(lsn LSN, r record.Record) error {
		if h := r.Header(); h.Kind == record.Op && h.Version > after {
			at = lsn
			return errFound
		}
		return nil
	})
	size := l.size
	if err := l.Close(); err != nil {
		return err
	}
	if !errors.Is(err, errFound) {
		return err
	}
	b := make([]byte, cutLen)
	copy(b, cutMagic)
	binary.LittleEndian.PutUint64(b[8:], uint64(at))
	binary.LittleEndian.PutUint64(b[16:], uint64(size))
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	f, err := cfg.Dir.Create(cutName, cutLen)
	if err != nil {
		return err
	}
	if err := errors.Join(f.WriteAt(0, b), f.Persist(), f.Close(), cfg.Dir.Sync()); err != nil {
		return err
	}
	return finishCut(cfg.Dir)
}

// finishCut does what the cut file says, if there is one. It may be begun again after a crash at any point.
func finishCut(dir nvm.Dir) error {
	f, err := dir.Open(cutName)
	if errors.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	b := make([]byte, cutLen)
	_, err = f.ReadAt(b, 0)
	if err := f.Close(); err != nil {
		return err
	}
	if err != nil && err != io.EOF {
		return err
	}
	at, size := LSN(binary.LittleEndian.Uint64(b[8:])), int64(binary.LittleEndian.Uint64(b[16:]))
	good := string(b[:8]) == cutMagic && binary.LittleEndian.Uint32(b[24:]) == crc32.Checksum(b[:24], castagnoli)
	if good && size >= MinSegmentSize { // else it was torn, and nothing has begun
		if err := cutAt(dir, at, size); err != nil {
			return err
		}
	}
	return dir.Remove(cutName) // if it comes back, the same is done again; Open makes it durable before it appends
}

func cutAt(dir nvm.Dir, at LSN, size int64) error {
	last := uint64(at) / uint64(size)
	files, err := dir.List()
	if err != nil {
		return err
	}
	for _, e := range files {
		if n, ok := parseSegmentName(e.Name); ok && n > last {
			if err := dir.Remove(e.Name); err != nil {
				return err
			}
		}
	}
	f, err := dir.OpenWrite(segmentName(last), size)
	if err != nil {
		return err
	}
	if err := errors.Join(wipe(f, size, int64(at)%size, size), f.Close()); err != nil {
		return err
	}
	m, err := openMark(dir, 0)
	if err != nil {
		return err
	}
	return errors.Join(m.write(at), m.write(at), m.f.Persist(), m.f.Close(), dir.Sync())
}
