package fusefs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"dfs/hlc"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// make creates a file, as another node does, and removes its name again.
func (s *fake) orphan(t testing.TB, name string) ids.Ino {
	t.Helper()
	res := s.must(ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: name, Mode: unix.S_IFREG | 0o644}.Encode())
	made, err := namespace.DecodeCreateResult(res.Body)
	must(t, err)
	s.must(s.DataShard(made.Ino), objects.Write{Ino: made.Ino}.Encode(), []byte("contents"))
	s.must(ids.Namespace, namespace.Unlink{Parent: ids.RootIno, Name: name}.Encode())
	return made.Ino
}

func (s *fake) hasContents(ino ids.Ino) bool {
	_, ok := objects.Stat(s.index.At(s.DataShard(ino), hlc.Latest), ino)
	return ok
}

// U9: what was removed before the mount, by whoever crashed in whatever state, is finished off.
func TestReaperResumes(t *testing.T) {
	store := newFake()
	t.Cleanup(store.close)
	var all []ids.Ino
	for i := range 20 {
		all = append(all, store.orphan(t, fmt.Sprint(i)))
	}
	store.must(ids.Namespace, namespace.Release{Node: fakeSelf, Members: []ids.NodeID{fakeSelf, fakeOther}, Inos: all[:10]}.Encode())
	store.must(ids.Namespace, namespace.Release{Node: fakeSelf, Members: []ids.NodeID{fakeSelf}, Inos: all[5:15]}.Encode()) // gone, not dropped
	m := remount(t, store)
	m.reaped(t, 10)
	m.f.reaper.poke() // what is gone and was left by others is dropped when it is seen the second time
	m.reaped(t, 0)
	for _, ino := range all {
		if store.hasContents(ino) {
			t.Errorf("U9: inode %d has contents still", ino)
		}
	}
}

// U9: another node's removal of what is open here waits for the handle; opening it anew is refused once released.
func TestReaperWaitsForHandles(t *testing.T) {
	m := mount(t)
	path := filepath.Join(m.dir, "f")
	write(t, path, "open")
	f, err := os.Open(path)
	must(t, err)
	ino := ids.Ino(stat0(t, f))
	m.store.as(fakeOther, ids.Namespace, namespace.Unlink{Parent: ids.RootIno, Name: "f"}.Encode())
	eventually(t, "the reaper has seen it", func() bool {
		m.f.reaper.mu.Lock()
		defer m.f.reaper.mu.Unlock()
		_, held := m.f.reaper.held[ino]
		return held
	})
	buf := make([]byte, 4)
	if _, err := f.ReadAt(buf, 0); err != nil || string(buf) != "open" {
		t.Errorf("U9: an open file holds %q, %v", buf, err)
	}
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	must(t, err) // it is not released yet
	must(t, again.Close())
	if !m.f.nodes.release(999, 0, false) || !m.f.nodes.isReleased(999) {
		t.Error("U9: an inode that nobody knows cannot be released")
	}
	if m.f.nodes.release(ino, 0, true) {
		t.Error("U9: an open inode was released")
	}
	must(t, f.Close())
	m.reaped(t, 0)
	if m.store.hasContents(ino) {
		t.Error("U9: contents are left")
	}
}

// Large files leave garbage in the index when they are emptied, which is swept.
func TestGarbageIsSwept(t *testing.T) {
	m := mount(t)
	f := m.openFile(t, "f", os.O_RDWR)
	for i := range 200 {
		_, err := f.WriteAt([]byte("x"), int64(i)*8192)
		must(t, err)
	}
	must(t, f.Truncate(0))
	sub := m.store.DataShard(ids.Ino(stat0(t, f)))
	eventually(t, "the garbage is swept", func() bool { return !objects.Garbage(m.store.index.At(sub, hlc.Latest)) })
}

// U9: a file without a name is not released between its being made and its being opened.
func TestReaperSparesWhatIsMade(t *testing.T) {
	m := mount(t)
	var stop atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		for r := newReaper(m.f); !stop.Load(); {
			_, _ = m.store.submit(fakeOther, ids.Namespace, namespace.Unlink{Parent: ids.RootIno, Name: "f"}.Encode()).Wait(t.Context())
			if err := r.reap(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	defer all.Wait()
	defer stop.Store(true)
	for i := range 1000 {
		fd, err := unix.Open(m.dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
		must(t, err)
		if i%2 == 1 {
			unix.Close(fd)
			fd, err = unix.Open(filepath.Join(m.dir, "f"), unix.O_CREAT|unix.O_RDWR, 0o600)
			must(t, err)
		}
		if _, err := unix.Pwrite(fd, []byte("x"), 0); err != nil {
			t.Errorf("U9: file %d: %v", i, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Size != 1 {
			t.Errorf("U9: file %d: %d bytes, %v", i, st.Size, err)
		}
		unix.Close(fd)
	}
}
