package versionlog

import (
	"sort"
	"sync"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
)

// Versions of Op records increase through the log, so one is found between two places that are known. Of every segment
// that was asked for lately some places are kept in memory.
const (
	placeEvery = 32  // records between two places
	maxTables  = 128 // segments
)

// place is where an Op record lies in its segment.
type place struct {
	version ids.Version
	off     int64
}

// table has some places of one segment.
type table struct {
	known  int64 // the segment was looked through up to here
	count  int   // of Op records since the last place
	places []place
	used   uint64
}

// finder finds records by their versions. Its mutex is held while the log is read.
type finder struct {
	mu     sync.Mutex
	tables map[uint64]*table
	uses   uint64
}

// Find returns the position of the Op record with the version v, in a log whose versions increase. It fails with
// errs.NotFound if there is none.
func (l *Log) Find(v ids.Version) (LSN, error) {
	l.finds.mu.Lock()
	defer l.finds.mu.Unlock()
	l.mu.Lock()
	segs, end := l.segs, l.end
	l.mu.Unlock()
	for i := firstHolding(segs, v); i < len(segs) && segs[i].maxVersion < v; i++ {
		lsn, found, err := l.findInSegment(segs[i].number, end, v)
		if err != nil || found {
			return lsn, err
		}
	}
	return 0, errs.New(errs.NotFound, "no version %v in the log", v)
}

func (l *Log) findInSegment(number uint64, end LSN, v ids.Version) (lsn LSN, found bool, err error) {
	f, err := l.reads.acquire(number)
	if err != nil {
		return 0, false, err
	}
	defer l.reads.release(f)
	w := window{f: f.File, start: l.start(number), size: l.size, ahead: headAhead}
	stop := min(l.size, int64(end-w.start))
	t := l.finds.table(number)
	if err := t.extend(&w, stop); err != nil {
		return 0, false, err
	}
	i := sort.Search(len(t.places), func(i int) bool { return t.places[i].version > v }) - 1
	if i < 0 {
		return 0, false, nil
	}
	err = w.heads(t.places[i].off, stop, func(off int64, r record.Record, _ int) bool {
		h := r.Header()
		if h.Kind == record.Op && h.Version == v {
			lsn, found = w.start+LSN(off), true
		}
		return h.Kind != record.Op || h.Version < v
	})
	return lsn, found, err
}

// table returns the table of a segment, and lets go of the one that was not used for longest if there are too many.
func (f *finder) table(number uint64) *table {
	if f.tables == nil {
		f.tables = map[uint64]*table{}
	}
	t := f.tables[number]
	if t == nil {
		if len(f.tables) >= maxTables {
			oldest := number
			for n, t := range f.tables {
				if oldest == number || t.used < f.tables[oldest].used {
					oldest = n
				}
			}
			delete(f.tables, oldest)
		}
		t = &table{known: headerSize, count: placeEvery}
		f.tables[number] = t
	}
	f.uses++
	t.used = f.uses
	return t
}

// extend looks through what is new of the segment.
func (t *table) extend(w *window, stop int64) error {
	return w.heads(t.known, stop, func(off int64, r record.Record, size int) bool {
		if h := r.Header(); h.Kind == record.Op {
			if t.count++; t.count > placeEvery {
				t.places, t.count = append(t.places, place{h.Version, off}), 1
			}
		}
		t.known = off + int64(size)
		return true
	})
}

// heads calls fn with the head and the size of each record from off on, until fn returns false.
func (w *window) heads(off, stop int64, fn func(off int64, head record.Record, size int) bool) error {
	for off < stop {
		r, size, err := w.head(off)
		if err != nil {
			return err
		}
		if !fn(off, r, size) {
			return nil
		}
		off += int64(size)
	}
	return nil
}

// Heads is Scan of the heads alone: the data is neither read nor verified. Each head is valid only during the call.
func (l *Log) Heads(from LSN, fn func(lsn LSN, head record.Record) error) error {
	end := l.End()
	from = max(from, l.Start())
	for from < end {
		next := l.start(l.number(from) + 1)
		if err := l.headsOfSegment(from, end, fn); err != nil {
			return err
		}
		from = next
	}
	return nil
}

func (l *Log) headsOfSegment(from, end LSN, fn func(lsn LSN, head record.Record) error) error {
	f, err := l.reads.acquire(l.number(from))
	if err != nil {
		return err
	}
	defer l.reads.release(f)
	w := window{f: f.File, start: l.start(l.number(from)), size: l.size, ahead: headAhead}
	var stopped error
	err = w.heads(max(l.offset(from), headerSize), min(l.size, int64(end-w.start)), func(off int64, r record.Record, _ int) bool {
		if r.Kind() != record.Pad {
			stopped = fn(w.start+LSN(off), r)
		}
		return stopped == nil
	})
	if err != nil {
		return err
	}
	return stopped
}
