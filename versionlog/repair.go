package versionlog

import (
	"errors"
	"slices"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
)

// Version returns the version of the record at lsn, whose head must be good.
func (l *Log) Version(lsn LSN) (ids.Version, error) {
	rec, err := l.Head(lsn)
	if err != nil {
		return 0, err
	}
	return rec.Header().Version, nil
}

// Head returns the verified head of the record at lsn.
func (l *Log) Head(lsn LSN) (record.Record, error) {
	f, err := l.reads.acquire(l.number(lsn))
	if err != nil {
		return nil, err
	}
	defer l.reads.release(f)
	w := window{f: f.File, start: lsn - lsn%LSN(l.size), size: l.size, ahead: firstRead}
	rec, _, err := w.head(l.offset(lsn))
	return slices.Clone(rec), err
}

// Record returns the whole record at lsn, verified.
func (l *Log) Record(lsn LSN) (record.Record, error) {
	f, err := l.reads.acquire(l.number(lsn))
	if err != nil {
		return nil, err
	}
	defer l.reads.release(f)
	w := window{f: f.File, start: lsn - lsn%LSN(l.size), size: l.size, ahead: firstRead}
	rec, _, err := w.record(l.offset(lsn))
	return slices.Clone(rec), err
}

// Repair writes the data of a record again that was damaged on storage, and makes that durable. rec is another
// replica's copy; it is refused as errs.Corrupt unless its data is what the head of the record at lsn says.
func (l *Log) Repair(lsn LSN, rec record.Record) error {
	head, err := l.Head(lsn)
	if err != nil {
		return err
	}
	if head.Hollow() || rec.Hollow() {
		return errs.New(errs.Corrupt, "no data is to be repaired at position %d, or none has come", lsn)
	}
	if head.Header().Version != rec.Header().Version || head.DataLen() != rec.DataLen() {
		return errs.New(errs.Corrupt, "a copy of version %v with %d bytes is not the record at position %d", rec.Header().Version, rec.DataLen(), lsn)
	}
	data := rec.Data()
	for i, block := range slices.Collect(slices.Chunk(data, record.BlockSize)) {
		if !head.VerifyBlock(i, block) {
			return errs.New(errs.Corrupt, "a copy of the record at position %d has other data in block %d", lsn, i)
		}
	}
	f, err := l.dir.OpenWrite(segmentName(l.number(lsn)), l.size)
	if err != nil {
		return err
	}
	at := l.offset(lsn) + int64(head.DataOffset())
	return errors.Join(f.WriteAt(at, data), f.Persist(), f.Close())
}
