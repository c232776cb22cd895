package node

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"dfs/advice"
	"dfs/errs"

	"golang.org/x/sys/unix"
)

// reserve is how much of the disk new data may not use: room for the log to take in what other nodes send, for the
// index to write itself out, and for deleting.
const reserve = 256 << 20

// spacePeriod is how often the disk is asked; what is written in between is counted.
const spacePeriod = time.Second

// space watches the room on the disk of the data directory.
type space struct {
	dir   string
	total atomic.Uint64
	free  atomic.Int64 // less what was let in since the last look
}

// newSpace looks at the disk for the first time.
func newSpace(dir string) (*space, error) {
	s := &space{dir: dir}
	return s, s.look()
}

func (s *space) look() error {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return errs.Wrap(errs.IO, err, "look at the disk of %s", s.dir)
	}
	s.total.Store((st.Blocks - st.Bfree + st.Bavail) * uint64(st.Bsize)) // what only root may use is neither used nor free
	s.free.Store(int64(min(st.Bavail*uint64(st.Bsize), math.MaxInt64)))
	return nil
}

// checkRoom fails if the disk has no room for a new data directory.
func checkRoom(dir string, needed uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return errs.Wrap(errs.IO, err, "look at the disk of %s", dir)
	}
	if free := st.Bavail * uint64(st.Bsize); free < needed {
		err := errs.New(errs.NoSpace, "the disk of %s has %v free, a new node needs more than %v", dir, Size(free>>20<<20), Size(needed))
		return advice.Add(err, "choose a data directory on a larger disk with --data; see: df -h")
	}
	return nil
}

// watch looks again until ctx ends.
func (s *space) watch(ctx context.Context) {
	tick := time.NewTicker(spacePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look() // a disk that does not answer fails the log soon enough
		}
	}
}

// full reports whether new data of n bytes must be refused; if not, they count as written.
func (s *space) full(n int) bool {
	if s.free.Load()-int64(n) < reserve {
		return true
	}
	s.free.Add(-int64(n))
	return false
}

// sizes returns the size of the disk and what of it new data may use.
func (s *space) sizes() (total, free uint64) {
	return s.total.Load(), uint64(max(0, s.free.Load()-reserve))
}
