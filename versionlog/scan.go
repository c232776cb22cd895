package versionlog

import (
	"sort"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
)

const (
	scanAhead = 1 << 20  // bytes read at once where all is wanted
	headAhead = 16 << 10 // where only heads are
)

// Damage says that the record at a position fails verification; Err is of kind errs.Corrupt and names file and offset.
type Damage struct {
	LSN LSN
	Err error
}

func (d *Damage) Error() string { return d.Err.Error() }

// Unwrap returns Err.
func (d *Damage) Unwrap() error { return d.Err }

// Scan calls fn for every record from the position from, where a record must start, up to the end of
// the log as it is at the call; 0 means the beginning. Each record is verified with its data and valid only
// during the call. Filler is skipped. Scan stops at the first error of fn, and returns it, or at the first damaged record,
// with a *Damage.
func (l *Log) Scan(from LSN, fn func(lsn LSN, r record.Record) error) error {
	end := l.End()
	from = max(from, l.Start())
	for from < end {
		var err error
		if from, err = l.scanSegment(from, end, fn); err != nil {
			return err
		}
	}
	return nil
}

// scanSegment is Scan within the segment of from. It returns where to go on.
func (l *Log) scanSegment(from, end LSN, fn func(lsn LSN, r record.Record) error) (LSN, error) {
	f, err := l.reads.acquire(l.number(from))
	if err != nil {
		return from, err
	}
	defer l.reads.release(f)
	w := window{f: f.File, start: l.start(l.number(from)), size: l.size, ahead: scanAhead}
	off, stop := max(l.offset(from), headerSize), min(l.size, int64(end-w.start))
	for off < stop {
		r, size, err := w.record(off)
		if errs.KindOf(err) == errs.Corrupt {
			return from, &Damage{LSN: w.start + LSN(off), Err: err}
		}
		if err != nil {
			return from, err
		}
		if r.Kind() != record.Pad {
			if err := fn(w.start+LSN(off), r); err != nil {
				return from, err
			}
		}
		off += int64(size)
	}
	return w.start + LSN(off), nil
}

// FindVersion returns the timestamp of the Op record with the version v. Where the log holds more than
// one order of messages, of says which subgroups belong to the one that v is of; nil means all.
func (l *Log) FindVersion(v ids.Version, of func(ids.Subgroup) bool) (hlc.Timestamp, bool, error) {
	l.mu.Lock()
	segs, end := l.segs, l.end
	l.mu.Unlock()
	// In each order versions increase, so the first one of at least v decides.
	for i := firstHolding(segs, v); i < len(segs) && segs[i].maxVersion.View() <= v.View(); i++ {
		t, found, passed, err := l.findIn(segs[i].number, end, v, of)
		if err != nil || found || passed {
			return t, found, err
		}
	}
	return 0, false, nil
}

// Locate returns a position, where a segment begins, before which every version is below v, and the greatest of these,
// 0 if there is none. Behind it there may be copies only.
func (l *Log) Locate(v ids.Version) (LSN, ids.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segs) == 0 {
		return l.end, 0
	}
	s := l.segs[firstHolding(l.segs, v)]
	return l.start(s.number) + headerSize, s.maxVersion
}

// firstHolding returns the first segment that may hold v: the last one that begins when all versions
// were below v.
func firstHolding(segs []segment, v ids.Version) int {
	i := sort.Search(len(segs), func(i int) bool { return segs[i].maxVersion >= v })
	return max(i-1, 0)
}

// findIn looks for v in one segment. passed says that v is nowhere behind.
func (l *Log) findIn(number uint64, end LSN, v ids.Version, of func(ids.Subgroup) bool) (t hlc.Timestamp, found, passed bool, err error) {
	f, err := l.reads.acquire(number)
	if err != nil {
		return 0, false, false, err
	}
	defer l.reads.release(f)
	w := window{f: f.File, start: l.start(number), size: l.size, ahead: headAhead}
	err = w.heads(headerSize, min(l.size, int64(end-w.start)), func(_ int64, r record.Record, _ int) bool {
		if h := r.Header(); h.Kind == record.Op && h.Version >= v && (of == nil || of(h.Subgroup)) {
			t, found, passed = h.Timestamp, h.Version == v, true
		}
		return !passed
	})
	return t, found, passed, err
}
