package fusefs

import (
	"context"
	"testing"
	"time"

	"dfs/ids"
	"dfs/namespace"
)

// eventually waits until a condition holds. The condition is asked again and again, since what brings it about is
// a goroutine of the mount that tells nobody.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// orphans returns the inodes without a name.
func (s *fake) orphans() []ids.Ino {
	var all []ids.Ino
	r, err := s.Now(context.Background(), ids.Namespace)
	if err != nil {
		panic(err)
	}
	namespace.Orphans(r, 0, func(ino ids.Ino, _ namespace.Orphan) bool {
		all = append(all, ino)
		return true
	})
	return all
}

// reaped waits until only so many orphans are left.
func (m *mounted) reaped(t testing.TB, left int) {
	t.Helper()
	eventually(t, "the orphans are reaped", func() bool { return len(m.store.orphans()) == left })
}
