package versionlog

import (
	"errors"
	"io"
	"slices"

	"dfs/errs"
	"dfs/nvm"
	"dfs/record"
)

// recovery finds out what a log holds, without changing it. The log is the chain of segments from
// number 0 on whose headers are good and whose numbers follow each other; its end is the first
// position in them where no good record is. Behind the end lie zeros, or what was torn by a crash, or,
// if the place is damaged, what the log goes on with. Only the last case is an error, and it is told
// from the others by what is known to have been durable: the mark says so, and every good record
// behind the end says how far the log was durable when it was appended.
type recovery struct {
	dir  nvm.Dir
	size int64 // of segments
	all  bool  // verify everything
	mark LSN   // what the mark says
	slot int64 // of the mark, to be written next

	files  []nvm.Entry // the segments, by number
	chain  []segment
	end    LSN
	why    error   // why the log ends there
	last   segment // what the log holds
	torn   bool    // the segment of the end is not zero behind it
	spares []uint64
	remove []uint64
}

func (r *recovery) start(number uint64) LSN { return LSN(number) * LSN(r.size) }

func (r *recovery) number(i int) uint64 {
	n, _ := parseSegmentName(r.files[i].Name)
	return n
}

func (r *recovery) run() error {
	entries, err := r.dir.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := parseSegmentName(e.Name); ok {
			r.files = append(r.files, e) // ten digits or more: sorted by name is sorted by number
		}
	}
	if r.mark, r.slot, err = readMark(r.dir); err != nil {
		return err
	}
	if err := r.findChain(); err != nil {
		return err
	}
	if err := r.findEnd(); err != nil {
		return err
	}
	return r.findRest()
}

// window opens a segment for reading.
func (r *recovery) window(number uint64) (*window, error) {
	f, err := r.dir.Open(segmentName(number))
	if err != nil {
		return nil, err
	}
	return &window{f: f, start: r.start(number), size: r.size, ahead: scanAhead}, nil
}

// findChain reads the headers of the segments.
func (r *recovery) findChain() error {
	type result struct {
		segment
		size int64
		err  error
	}
	var found []result
	sized := false
	for i := range r.files {
		f, err := r.dir.Open(r.files[i].Name)
		if err != nil {
			return err
		}
		b := make([]byte, headerSize)
		n, err := f.ReadAt(b, 0)
		if err := errors.Join(ignoreEOF(err), f.Close()); err != nil {
			return err
		}
		var h result
		h.segment, h.size, h.err = decodeSegment(b[:n])
		if h.err == nil && h.number != r.number(i) {
			h.err = errs.New(errs.Corrupt, "segment header says number %d", h.number)
		}
		if h.err != nil {
			h.err = errs.Wrap(errs.Corrupt, h.err, "%v at offset 0", f)
		} else if !sized {
			r.size, sized = h.size, true
		}
		found = append(found, h)
	}
	for i, h := range found {
		next := uint64(i)
		switch {
		case r.number(i) != next:
			h.err = errs.New(errs.Corrupt, "%v: %s is missing", r.dir, segmentName(next))
		case h.err == nil && h.size != r.size:
			h.err = errs.New(errs.Corrupt, "%v: %s has segments of %d bytes, the log of %d", r.dir, segmentName(next), h.size, r.size)
		}
		if r.why = h.err; r.why != nil {
			break
		}
		r.chain = append(r.chain, h.segment)
	}
	return nil
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// findEnd verifies the segments that may be torn, and the last one.
func (r *recovery) findEnd() error {
	r.end = r.start(uint64(len(r.chain)))
	first := max(0, len(r.chain)-1)
	for first > 0 && (r.all || r.start(r.chain[first].number) > r.mark) {
		first--
	}
	for i := range r.chain[:first] {
		if r.files[i].Size < r.size {
			return errs.New(errs.Corrupt, "%v: %s is cut at offset %d", r.dir, r.files[i].Name, r.files[i].Size)
		}
	}
	for i := first; i < len(r.chain); i++ {
		s := r.chain[i]
		if i == first {
			r.last = s
		}
		off, why, err := r.verify(s.number)
		if err != nil {
			return err
		}
		if why != nil {
			r.chain, r.end, r.why = r.chain[:i+1], r.start(s.number)+LSN(off), why
			break
		}
	}
	if r.end >= r.mark {
		return nil
	}
	switch {
	case len(r.files) == 0:
		r.why = errs.New(errs.Corrupt, "%v: all segments are missing", r.dir)
	case r.why == nil:
		r.why = errs.New(errs.Corrupt, "%v: %s is missing", r.dir, segmentName(uint64(r.mark-1)/uint64(r.size)))
	}
	return r.damaged(r.mark)
}

// damaged is the error for an end of the log before what was durable.
func (r *recovery) damaged(durable LSN) error {
	return errs.Wrap(errs.Corrupt, r.why, "the log is damaged at position %d, and was durable up to %d", r.end, durable)
}

// verify reads a segment up to its end, or to the first thing that is not a good record, which why tells.
func (r *recovery) verify(number uint64) (off int64, why, err error) {
	w, err := r.window(number)
	if err != nil {
		return 0, nil, err
	}
	defer w.f.Close()
	for off = headerSize; off < r.size; {
		rec, size, err := w.record(off)
		if errors.Is(err, errs.Corrupt) {
			return off, err, nil
		}
		if err != nil {
			return off, nil, err
		}
		r.last.count(rec)
		off += int64(size)
	}
	return off, nil, nil
}

// findRest looks at what lies behind the end.
func (r *recovery) findRest() error {
	next := uint64(len(r.chain)) // the number of the segment that would be the next spare
	for i := range r.files {
		n := r.number(i)
		from, spare := int64(0), true
		if at := int64(r.end) - int64(r.start(n)); at >= r.size {
			continue
		} else if at > 0 {
			from, spare = at, false
		}
		dirty, durable, err := r.search(n, from)
		switch {
		case err != nil:
			return err
		case durable > r.end:
			return r.damaged(durable)
		case !spare:
			r.torn = dirty
		case !dirty && n == next && r.files[i].Size == r.size:
			r.spares = append(r.spares, n)
			next++
		default:
			r.remove = append(r.remove, n)
		}
	}
	slices.Sort(r.remove)
	return nil
}

// search looks for anything but zeros from an offset of a segment on, and for good records that say how
// far the log was durable.
func (r *recovery) search(number uint64, from int64) (dirty bool, durable LSN, err error) {
	w, err := r.window(number)
	if err != nil {
		return false, 0, err
	}
	defer w.f.Close()
	for off := from; off < r.size; {
		b, err := w.view(off, unit)
		if err != nil {
			return false, 0, err
		}
		if isZero(b) {
			off += unit
			continue
		}
		dirty = true
		head, size, err := w.head(off)
		switch {
		case errors.Is(err, errs.Corrupt):
			size = unit
		case err != nil:
			return false, 0, err
		default:
			// What is in the data of a good record is not the log's.
			durable = max(durable, claim(head))
		}
		off += int64(size)
	}
	return dirty, durable, nil
}

// claim is how far the log was durable when the record was appended, 0 if it does not say.
func claim(r record.Record) LSN {
	behind := LSN(r.Header().Durable)
	if behind == maxBehind || behind*unit > LSN(r.Position()) {
		return 0
	}
	return LSN(r.Position()) - behind*unit
}
