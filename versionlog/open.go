package versionlog

import (
	"errors"
	"slices"

	"dfs/errs"
)

// Open opens the log in cfg.Dir, and makes it if there is none. What a crash left torn at the end is cut
// off, durably, before anything is appended. Damage to what is known to have been durable is
// errs.Corrupt, naming the file and the offset; then nothing is changed.
func Open(cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := finishCut(cfg.Dir); err != nil {
		return nil, err
	}
	reserve := cfg.ReserveBytes
	cfg.withDefaults()
	r := recovery{dir: cfg.Dir, size: cfg.SegmentSize, all: cfg.VerifyAll}
	if err := r.run(); err != nil {
		return nil, err
	}
	if reserve == 0 {
		cfg.ReserveBytes = r.size / 4
	}
	cfg.ReserveBytes = min(cfg.ReserveBytes, r.size)
	l := &Log{
		dir: cfg.Dir, cfg: cfg, size: r.size, segs: r.chain,
		// What survived a crash beyond the mark need not be durable yet.
		end: r.end, durable: r.mark, last: r.last,
	}
	l.reads.init(cfg.Dir, r.size, cfg)
	if err := l.begin(&r); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

// begin opens for writing what the recovery found, takes away what does not belong to the log, and makes
// all that durable. A crash before it is done leaves a log that recovers to the same end.
func (l *Log) begin(r *recovery) (err error) {
	for _, number := range r.remove {
		if err := l.dir.Remove(segmentName(number)); err != nil {
			return err
		}
	}
	if l.mark, err = openMark(l.dir, r.slot); err != nil {
		return err
	}
	if err := l.openSegments(r); err != nil {
		return err
	}
	if off := l.offset(l.end); r.torn && off != 0 {
		if err := wipe(l.active, l.size, off, l.size); err != nil {
			return err
		}
	}
	if err := l.rewrite(); err != nil {
		return err
	}
	if err := l.dir.Sync(); err != nil {
		return err
	}
	_, err = l.Sync()
	return err
}

// rewrite writes again what is not known to be durable. If the process before this one ended because a
// sync failed, the operating system may show bytes that storage does not have, and take them for
// written (N5 of nvm).
func (l *Log) rewrite() error {
	files := l.full
	if l.active != nil {
		files = append(slices.Clone(l.full), l.active)
	}
	first := len(l.segs) - len(files)
	for i, f := range files {
		start := l.start(l.segs[first+i].number)
		w := window{f: f, start: start, size: l.size}
		from, to := int64(max(l.durable, start)-start), min(l.size, int64(l.end-start))
		for off := from; off < to; off += scanAhead {
			b, err := w.view(off, int(min(scanAhead, to-off)))
			if err == nil {
				err = f.WriteAt(off, b)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// openSegments opens the files that are to be written or made durable.
func (l *Log) openSegments(r *recovery) error {
	for _, number := range r.spares {
		f, err := l.dir.OpenWrite(segmentName(number), l.size)
		if err != nil {
			return err
		}
		l.spares = append(l.spares, f)
	}
	for i, s := range l.segs {
		last := i == len(l.segs)-1
		if !last && l.start(s.number+1) <= l.durable {
			continue
		}
		f, err := l.dir.OpenWrite(segmentName(s.number), l.size)
		switch {
		case errors.Is(err, errs.NoSpace):
			return errs.Wrap(errs.NoSpace, err, "a segment was left short by a crash and cannot be extended")
		case err != nil:
			return err
		case last:
			l.active = f
		default:
			l.full = append(l.full, f)
		}
	}
	return nil
}
