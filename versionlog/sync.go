package versionlog

import (
	"errors"
	"slices"

	"dfs/errs"
	"dfs/nvm"
)

// Sync makes everything durable that was appended before the call, and returns how far the log is
// durable now. It does not hold up Append. An error is final: nothing is durable beyond Durable, and
// the log takes no more (L6).
//
// Sync also reserves the next segment, so that Append seldom has to; that there is no room for it is
// no error (see Low).
func (l *Log) Sync() (LSN, error) {
	l.sync.Lock()
	defer l.sync.Unlock()
	l.mu.Lock()
	end, durable, names, err := l.end, l.durable, l.names, l.err
	full, active := l.full, l.active
	if end != durable {
		l.names = false
		if l.brief++; end-durable > briefSync {
			l.brief = 0
		}
	}
	l.mu.Unlock()
	if err != nil {
		return durable, err
	}
	if end != durable {
		if err := l.persist(end, full, active, names); err != nil {
			return durable, l.fail(err)
		}
		l.mu.Lock()
		l.durable, l.full = end, l.full[len(full):]
		l.mu.Unlock()
		for _, f := range full {
			// It is durable; what Close has to say changes nothing.
			_ = f.Close()
		}
	}
	if err := l.ensure(1); err != nil && !errors.Is(err, errs.NoSpace) {
		return end, err
	}
	return end, nil
}

// persist makes the log durable up to end, and then says so in the mark. l.sync is held.
func (l *Log) persist(end LSN, full []nvm.File, active nvm.File, names bool) error {
	for _, f := range full {
		if err := f.Persist(); err != nil {
			return err
		}
	}
	if active != nil {
		if err := active.Persist(); err != nil {
			return err
		}
	}
	if names {
		if err := l.dir.Sync(); err != nil {
			return err
		}
	}
	if err := l.mark.write(end); err != nil {
		return err
	}
	if len(full) > 0 {
		// So the mark is never more than a segment behind, and Open has that much to verify.
		return l.mark.f.Persist()
	}
	return nil
}

// Close syncs the log and closes it. It must not be used by others any more.
func (l *Log) Close() error {
	_, err := l.Sync()
	l.sync.Lock()
	defer l.sync.Unlock()
	if err == nil {
		err = l.mark.f.Persist()
	}
	return errors.Join(err, l.release())
}

// release closes all files.
func (l *Log) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = errs.New(errs.Unavailable, "the log in %v is closed", l.dir)
	}
	files := append(slices.Clone(l.full), l.spares...)
	if l.active != nil {
		files = append(files, l.active)
	}
	if l.mark != nil {
		files = append(files, l.mark.f)
	}
	l.full, l.spares, l.active = nil, nil, nil
	all := []error{l.reads.close()}
	for _, f := range files {
		all = append(all, f.Close())
	}
	return errors.Join(all...)
}
