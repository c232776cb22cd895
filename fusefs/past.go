package fusefs

import (
	"context"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/hlc"
	"dfs/namespace"
)

// lookupDoor finds a name that leads into the past. done is false for other names. What cannot be answered does
// not exist; the log says why.
func (f *filesystem) lookupDoor(ctx context.Context, h *fuse.InHeader, parent *node, name string, out *fuse.EntryOut) (done bool, err error) {
	switch {
	case name == historyName:
		return true, f.pastEntry(ctx, nodeKey{sort: sortHistory, ino: parent.ino}, out)
	case name == snapshotsName:
		return true, errs.NotFound
	}
	p, asks, err := parsePastName(name, f.cfg.Zone)
	if !asks {
		return false, nil
	}
	if err == nil {
		err = f.enter(ctx, h, parent, name, p, out)
	}
	if k := kindOf(err); k != errs.OK && k != errs.Interrupted {
		f.limited.warn("a name of the past leads nowhere", "name", name, "directory", parent.ino, "reason", err)
		if k != errs.IO && k != errs.Corrupt && k != errs.Unavailable {
			err = errs.NotFound
		}
	}
	return true, err
}

// enter answers the lookup of a name of the past whose SPEC was understood.
func (f *filesystem) enter(ctx context.Context, h *fuse.InHeader, parent *node, name string, p pastName, out *fuse.EntryOut) error {
	at, err := f.moment(h, parent, name, p.spec)
	if err != nil {
		return err
	}
	r, err := f.at(ctx, at)
	if err != nil {
		return err
	}
	if _, err := namespace.Stat(r, parent.ino); err != nil {
		return errs.Wrap(kindOf(err), err, "the directory did not exist at %v", at)
	}
	ino := parent.ino
	if p.base != "" {
		if ino, _, err = namespace.Lookup(r, parent.ino, p.base); err != nil {
			return errs.Wrap(kindOf(err), err, "%q did not exist at %v", p.base, at)
		}
	}
	if err := f.pastEntry(ctx, nodeKey{sort: sortPast, ino: ino, at: at, door: parent.ino, name: p.base}, out); err != nil {
		return err
	}
	if p.spec.Relative() {
		out.SetEntryTimeout(0) // the same name means something else later
	}
	return nil
}

// moment returns the time that a SPEC means now.
func (f *filesystem) moment(h *fuse.InHeader, parent *node, name string, s Spec) (hlc.Timestamp, error) {
	switch {
	case s.Version != 0:
		return f.store.TimeOf(s.Version)
	case s.Relative():
		key := momentKey{process: process(h.Pid), dir: parent.id, name: name}
		return f.moments.resolve(key, f.store.Physical(), s.Back), nil
	}
	return s.At, nil
}

// moments keeps what relative times meant to whom. A program that walks a tree below @t=-10m goes through that
// name again and again; it shall see one moment, not one that creeps on under its feet. So a process keeps the
// moment that it got, for up to a tenth of the span.
type moments struct {
	mu    sync.Mutex
	known map[momentKey]hlc.Timestamp // when the key was first resolved
}

type momentKey struct {
	process uint32
	dir     nodeID
	name    string
}

const (
	minKept    = 2 * time.Second
	maxMoments = 4096
)

func newMoments() *moments { return &moments{known: map[momentKey]hlc.Timestamp{}} }

// resolve returns the moment that lies back before now, or before the time when the process first asked.
func (m *moments) resolve(key momentKey, now hlc.Timestamp, back time.Duration) hlc.Timestamp {
	if key.process == 0 {
		return now - hlc.Timestamp(back)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	asked, ok := m.known[key]
	if kept := hlc.Timestamp(max(back/10, minKept)); !ok || now-asked > kept || now < asked {
		if len(m.known) >= maxMoments {
			clear(m.known) // somebody asks for thousands of names; nobody is owed one of them
		}
		asked = now
		m.known[key] = now
	}
	return asked - hlc.Timestamp(back)
}
