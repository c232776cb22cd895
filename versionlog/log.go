package versionlog

import (
	"errors"
	"math"
	"sync"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
)

// Log is an open log. One goroutine appends; all other methods may be called by any.
type Log struct {
	dir  nvm.Dir
	cfg  Config
	size int64 // of a segment

	// sync serialises Sync; grow serialises the making of segments. Order: sync, grow, mu.
	sync, grow sync.Mutex
	mark       *mark // guarded by sync

	mu      sync.Mutex
	segs    []segment  // consecutive, the last one is appended to
	active  nvm.File   // of the last segment, nil if there is none
	full    []nvm.File // earlier segments with bytes that are not durable
	spares  []nvm.File // segments after the last, reserved and empty
	names   bool       // the directory was changed since it was synced last
	noSpace bool       // the last attempt to make a spare found no space
	end     LSN
	durable LSN
	last    segment // what a segment that started now would have in its header
	spoiled LSN     // a failed Append may have written up to here, 0 if none did
	brief   int     // how many syncs in a row had little to make durable
	err     error   // sticky

	reads reader
	finds finder

	written LSN // Append has written bytes or zeros up to here
}

func (l *Log) start(number uint64) LSN { return LSN(number) * LSN(l.size) }

func (l *Log) number(lsn LSN) uint64 { return uint64(lsn) / uint64(l.size) }

func (l *Log) offset(lsn LSN) int64 { return int64(lsn) % l.size }

// Start returns where the log begins: no record lies before it.
func (l *Log) Start() LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segs) == 0 {
		return l.end
	}
	return l.start(l.segs[0].number) + headerSize
}

// End returns the position behind the last record appended.
func (l *Log) End() LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Durable returns the position up to which everything is durable.
func (l *Log) Durable() LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Last returns the version and timestamp of the last Op record, zeros if there is none.
func (l *Log) Last() (ids.Version, hlc.Timestamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.lastVersion, l.last.lastTimestamp
}

// Size returns the bytes on disk that the log takes, and in how many segments.
func (l *Log) Size() (bytes int64, segments int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	segments = len(l.segs) + len(l.spares)
	return int64(segments) * l.size, segments
}

// Low reports that the disk has no room for another segment. Records with data are still taken until
// the reserve begins; who can should stop sending them.
func (l *Log) Low() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.noSpace && len(l.spares) == 0
}

// Err returns the error after which the log takes nothing more (L6).
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// fail makes err sticky and returns the error that is. It is not one of errs.NoSpace: that is what may be
// tried again.
func (l *Log) fail(err error) error {
	if errors.Is(err, errs.NoSpace) {
		err = errs.New(errs.IO, "the log takes nothing more: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	return l.err
}

// While little is made durable by each sync, because somebody calls fsync again and again, Append writes zeros ahead of
// the end. The first write to a block that is only reserved has the file system note that it was written, and a sync
// waits for that too; where zeros lie, a sync is one write to the disk.
const (
	zeroAhead   = 256 << 10
	briefSync   = 64 << 10
	briefInARow = 4
)

var zeros [zeroAhead]byte

// write is what one Append writes to one segment.
type write struct {
	number uint64
	off    int64
	parts  [][]byte
}

// Append writes the records behind each other, with one write to each segment that is touched, and
// returns their positions. Position and durable field are filled in and the headers sealed, in the
// caller's memory, which is not used after Append returns. What is appended is read at once, but
// durable only after Sync.
//
// errs.NoSpace means that the disk is full: nothing was appended, and the same records may be tried again
// later. errs.TooLarge means that a record does not fit a segment. Any other error is final (L6).
func (l *Log) Append(recs []record.Record) ([]LSN, error) {
	if len(recs) == 0 {
		return nil, l.Err()
	}
	l.mu.Lock()
	end, spoiled, err := l.end, l.spoiled, l.err
	l.mu.Unlock()
	if err == nil && spoiled > end {
		err = l.scrub(end)
	}
	if err != nil {
		return nil, err
	}
	p, err := l.plan(end, recs)
	if err != nil {
		return nil, err
	}
	if err := l.write(p); err != nil {
		return nil, err
	}
	for i, lsn := range p.lsns {
		// It costs more than it saves for records that are read in one piece.
		if recs[i].DataLen() > 4*record.BlockSize {
			l.reads.remember(lsn, recs[i])
		}
	}
	return p.lsns, nil
}

// plan is where everything of one Append goes.
type plan struct {
	lsns   []LSN
	writes []write
	end    LSN
	last   segment   // what the log holds afterwards
	opened []segment // segments that are begun
}

// plan finds a place for each record, and makes the segments that are needed.
func (l *Log) plan(end LSN, recs []record.Record) (*plan, error) {
	l.mu.Lock()
	p := &plan{lsns: make([]LSN, 0, len(recs)), end: end, last: l.last}
	durable, started := l.durable, len(l.segs) > 0
	l.mu.Unlock()
	if started && l.offset(end) != 0 {
		p.writes = append(p.writes, write{number: l.number(end), off: l.offset(end)})
	}
	for _, r := range recs {
		n := int64(len(r))
		if n > l.size-headerSize {
			return nil, errs.New(errs.TooLarge, "record of %d bytes does not fit a segment of %d", n, l.size)
		}
		if n > l.room(p) {
			if err := l.next(p, durable); err != nil {
				return nil, err
			}
		}
		if r.DataLen() > 0 && !r.Hollow() && l.offset(p.end)+n > l.size-l.cfg.ReserveBytes {
			if err := l.ensure(len(p.opened) + 1); err != nil {
				return nil, err
			}
		}
		r.Finish(uint64(p.end), behind(p.end, durable))
		w := &p.writes[len(p.writes)-1]
		w.parts = append(w.parts, r)
		p.lsns = append(p.lsns, p.end)
		p.end += LSN(n)
		p.last.count(r)
	}
	return p, nil
}

// room returns how much the segment that p writes to last can still take.
func (l *Log) room(p *plan) int64 {
	if len(p.writes) == 0 || l.offset(p.end) == 0 {
		return 0
	}
	return l.size - l.offset(p.end)
}

// next fills up the segment that p writes to last, and begins another one.
func (l *Log) next(p *plan, durable LSN) error {
	if err := l.ensure(len(p.opened) + 1); err != nil {
		return err
	}
	if room := l.room(p); room > 0 {
		w := &p.writes[len(p.writes)-1]
		pad := record.PadHead(int(room), record.Header{Position: uint64(p.end), Durable: behind(p.end, durable)})
		w.parts = append(w.parts, pad)
		p.end += LSN(room)
	}
	s := p.last
	s.number = l.number(p.end)
	p.opened = append(p.opened, s)
	p.writes = append(p.writes, write{number: s.number, parts: [][]byte{s.encode(l.size)}})
	p.end += headerSize
	return nil
}

// maxBehind in the durable field says nothing: the durable end is further away.
const maxBehind = math.MaxUint32

// behind is the durable field of a record at lsn.
func behind(lsn, durable LSN) uint32 {
	return uint32(min((lsn-durable)/unit, maxBehind))
}

// count takes note of a record that is appended.
func (s *segment) count(r record.Record) {
	if r.Kind() == record.Op {
		h := r.Header()
		s.lastVersion, s.lastTimestamp, s.maxVersion = h.Version, h.Timestamp, max(s.maxVersion, h.Version)
	}
}

// write carries out a plan.
func (l *Log) write(p *plan) error {
	l.mu.Lock()
	files := append([]nvm.File{l.active}, l.spares[:len(p.opened)]...)
	first := len(files) - len(p.writes) // nothing may go to the active segment
	brief := l.brief
	l.mu.Unlock()
	if p.end > l.written {
		l.written = p.end
		if n := min(zeroAhead, l.room(p)); brief >= briefInARow && n > 0 {
			w := &p.writes[len(p.writes)-1]
			w.parts = append(w.parts, zeros[:n])
			l.written += LSN(n)
		}
	}
	for i, w := range p.writes {
		if err := files[first+i].WriteAt(w.off, w.parts...); err != nil {
			return l.spoil(p.end, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(p.opened); n > 0 {
		if l.active != nil {
			l.full = append(l.full, l.active)
		}
		l.full = append(l.full, l.spares[:n-1]...)
		l.active, l.spares = l.spares[n-1], l.spares[n:]
		l.segs = append(l.segs, p.opened...)
	}
	l.end, l.last = p.end, p.last
	return nil
}

// spoil takes note that a write failed that would have ended at end.
func (l *Log) spoil(end LSN, err error) error {
	if !errors.Is(err, errs.NoSpace) {
		return l.fail(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoiled = max(l.spoiled, end)
	return err
}

// scrub wipes out what a failed Append may have left behind the end, and makes that durable: after a
// crash it must not be found next to what is appended now (L3). If there is no space even for that, it
// is tried again by the next Append.
func (l *Log) scrub(end LSN) error {
	l.grow.Lock()
	defer l.grow.Unlock()
	l.mu.Lock()
	active, spares, spoiled := l.active, l.spares, l.spoiled
	number := l.nextNumber() - uint64(len(spares))
	l.mu.Unlock()
	if off := l.offset(end); active != nil && off != 0 {
		err := wipe(active, l.size, off, min(l.size, off+int64(spoiled-end)))
		if errors.Is(err, errs.NoSpace) {
			return err
		}
		if err != nil {
			return l.fail(err)
		}
	}
	if spoiled <= l.start(number) {
		spares = nil // it did not get that far
	}
	for i, f := range spares {
		if err := errors.Join(f.Close(), l.dir.Remove(segmentName(number+uint64(i)))); err != nil {
			return l.fail(err)
		}
	}
	if err := l.dir.Sync(); err != nil {
		return l.fail(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoiled, l.spares = 0, l.spares[len(spares):]
	return nil
}

// wipe overwrites what is not zero from an offset of a segment file to another one, and persists it.
func wipe(f nvm.File, size, from, to int64) error {
	const chunk = 64 << 10
	w := window{f: f, size: size, ahead: chunk}
	zeros := make([]byte, chunk)
	for off := from; off < to; off += chunk {
		n := int(min(chunk, to-off))
		b, err := w.view(off, n)
		if err != nil {
			return err
		}
		if isZero(b) {
			continue
		}
		if err := f.WriteAt(off, zeros[:n]); err != nil {
			return err
		}
	}
	return f.Persist()
}

// nextNumber returns the number of the segment that would be made next. l.mu is held.
func (l *Log) nextNumber() uint64 {
	next := uint64(len(l.spares))
	if n := len(l.segs); n > 0 {
		return next + l.segs[n-1].number + 1
	}
	return next + l.number(l.end)
}

// ensure makes segments until n spares are there.
func (l *Log) ensure(n int) error {
	l.grow.Lock()
	defer l.grow.Unlock()
	for {
		l.mu.Lock()
		have, number := len(l.spares), l.nextNumber()
		l.mu.Unlock()
		if have >= n {
			return nil
		}
		f, err := l.dir.Create(segmentName(number), l.size)
		l.mu.Lock()
		l.noSpace = errors.Is(err, errs.NoSpace)
		if err == nil {
			l.spares, l.names = append(l.spares, f), true
		}
		l.mu.Unlock()
		switch {
		case errors.Is(err, errs.NoSpace):
			return err
		case err != nil:
			return l.fail(err)
		}
	}
}
