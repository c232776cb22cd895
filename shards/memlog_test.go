package shards

import (
	"bytes"
	"slices"
	"sync"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// memLog is a log in memory for tests of the engine alone.
type memLog struct {
	mu   sync.Mutex
	fail error // of Sync
	recs []record.Record
	lsns []versionlog.LSN
	end  versionlog.LSN
	bad  map[versionlog.LSN]bool // whose data is damaged
}

func (l *memLog) Append(recs []record.Record) ([]versionlog.LSN, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []versionlog.LSN
	for _, r := range recs {
		c := append(record.Record(nil), r...)
		l.end = max(l.end, record.Align) // 0 is no record
		c.Finish(uint64(l.end), 0)
		l.recs, l.lsns = append(l.recs, c), append(l.lsns, l.end)
		out = append(out, l.end)
		l.end += versionlog.LSN(len(r))
	}
	return out, nil
}

func (l *memLog) Sync() (versionlog.LSN, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end, l.fail
}

func (l *memLog) End() versionlog.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

func (l *memLog) Scan(from versionlog.LSN, fn func(versionlog.LSN, record.Record) error) error {
	l.mu.Lock()
	recs, lsns := l.recs, l.lsns
	l.mu.Unlock()
	for i, r := range recs {
		if lsns[i] >= from {
			if l.bad[lsns[i]] {
				return &versionlog.Damage{LSN: lsns[i], Err: errs.New(errs.Corrupt, "damaged at %d", lsns[i])}
			}
			if err := fn(lsns[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *memLog) ReadData(lsn versionlog.LSN, off int, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range l.recs {
		if l.bad[lsn] {
			return errs.New(errs.Corrupt, "damaged at %d", lsn)
		}
		if l.lsns[i] == lsn && r.Hollow() {
			return &versionlog.HollowError{LSN: lsn}
		}
		if l.lsns[i] == lsn {
			copy(p, r.Data()[off:])
			return nil
		}
	}
	return errs.New(errs.NotFound, "no record at %d", lsn)
}

func (l *memLog) Version(lsn versionlog.LSN) (ids.Version, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recs[slices.Index(l.lsns, lsn)].Header().Version, nil
}

func (l *memLog) Record(lsn versionlog.LSN) (record.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recs[slices.Index(l.lsns, lsn)], nil
}

func (l *memLog) Head(lsn versionlog.LSN) (record.Record, error) {
	r, err := l.Record(lsn)
	if err != nil {
		return nil, err
	}
	n, err := record.HeadSize(r)
	return slices.Clone(r[:n]), err
}

func (l *memLog) Heads(from versionlog.LSN, fn func(versionlog.LSN, record.Record) error) error {
	l.mu.Lock()
	recs, lsns := l.recs, l.lsns
	l.mu.Unlock()
	for i, r := range recs {
		if lsns[i] >= from {
			if err := fn(lsns[i], r[:r.DataOffset()]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *memLog) Find(v ids.Version) (versionlog.LSN, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range l.recs {
		if h := r.Header(); h.Version == v && h.Kind == record.Op {
			return l.lsns[i], nil
		}
	}
	return 0, errs.New(errs.NotFound, "no version %v", v)
}

func (l *memLog) Repair(lsn versionlog.LSN, rec record.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Equal(rec.Data(), l.recs[slices.Index(l.lsns, lsn)].Data()) {
		return errs.New(errs.Corrupt, "not a copy")
	}
	delete(l.bad, lsn)
	return nil
}

func (l *memLog) Locate(ids.Version) (versionlog.LSN, ids.Version) { return 0, 0 }

func (l *memLog) FindVersion(v ids.Version, _ func(ids.Subgroup) bool) (hlc.Timestamp, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recs {
		if h := r.Header(); h.Version == v {
			return h.Timestamp, true, nil
		}
	}
	return 0, false, nil
}
