package fusefs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"dfs/ids"
	"dfs/namespace"
)

// handleOf returns the file handle of a name.
func (m *mounted) handleOf(t *testing.T, name string) unix.FileHandle {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(m.dir, name), 0)
	must(t, err)
	return h
}

// byHandle opens a file by its handle, and returns where the kernel says that it is.
func (m *mounted) byHandle(t *testing.T, h unix.FileHandle, flags int) (f *os.File, path string, err error) {
	t.Helper()
	root, err := unix.Open(m.dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(root)
	fd, err := unix.OpenByHandleAt(root, h, flags)
	if err != nil {
		return nil, "", err
	}
	f = os.NewFile(uintptr(fd), "handle")
	t.Cleanup(func() { _ = f.Close() })
	path, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	must(t, err)
	return f, path, nil
}

// U12: a file handle leads to its inode when the kernel has forgotten it, and at another mount, where directories are found at
// their place; it is stale when the inode is gone.
func TestFileHandles(t *testing.T) {
	m := mount(t)
	m.sh(t, `mkdir -p a/b/c; echo text >a/b/f; echo top >g`)
	file, top, dir := m.handleOf(t, "a/b/f"), m.handleOf(t, "g"), m.handleOf(t, "a/b/c")
	must(t, m.Unmount(false)) // another life of the node knows nothing but the store
	other := remount(t, m.store)
	for h, want := range map[*unix.FileHandle]string{&file: "text\n", &top: "top\n"} {
		f, _, err := other.byHandle(t, *h, unix.O_RDWR)
		if err != nil {
			t.Fatalf("U12: by its handle: %v", err)
		}
		var buf [20]byte
		if n, _ := f.ReadAt(buf[:], 0); string(buf[:n]) != want {
			t.Errorf("U12: by its handle the file has %q, want %q", buf[:n], want)
		}
		_, err = f.WriteAt([]byte("T"), 0)
		must(t, err)
		must(t, f.Close())
	}
	if got := read(t, filepath.Join(other.dir, "a/b/f")); got != "Text\n" {
		t.Errorf("U12: after a write by a handle the file has %q", got)
	}
	d, path, err := other.byHandle(t, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil || path != filepath.Join(other.dir, "a/b/c") {
		t.Fatalf("U12: the directory is %q by its handle, %v", path, err)
	}
	must(t, unix.Mkdirat(int(d.Fd()), "below", 0o755))
	if stat(t, filepath.Join(other.dir, "a/b/c/below")).Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Error("U12: what was made by a handle is elsewhere")
	}
	other.sh(t, "rm a/b/f")
	other.reaped(t, 0)
	if _, _, err := other.byHandle(t, file, unix.O_RDONLY); !errors.Is(err, unix.ESTALE) {
		t.Errorf("U12: by the handle of a file that is gone: %v", err)
	}
}

// U11, U12: a directory that another node moved has another number; handles with any of them lead to where it is.
func TestFileHandlesOfMovedDirectories(t *testing.T) {
	m := mount(t)
	m.sh(t, `mkdir -p from/d to; echo text >from/d/f`)
	before := m.handleOf(t, "from/d")
	root := ids.RootIno
	from, to := ids.Ino(stat(t, filepath.Join(m.dir, "from")).Ino), ids.Ino(stat(t, filepath.Join(m.dir, "to")).Ino)
	held, err := os.Open(filepath.Join(m.dir, "from/d")) // the kernel keeps it where it was
	must(t, err)
	m.store.as(fakeOther, ids.Namespace, namespace.Rename{OldParent: from, OldName: "d", NewParent: to, NewName: "e"}.Encode())
	after := m.handleOf(t, "to/e")
	if string(before.Bytes()) == string(after.Bytes()) {
		t.Fatal("U11: the directory has the same number at another place")
	}
	must(t, held.Close())
	must(t, m.Unmount(false))
	m.store.as(fakeOther, ids.Namespace, namespace.Rename{OldParent: root, OldName: "to", NewParent: root, NewName: "then"}.Encode())
	for what, h := range map[string]unix.FileHandle{"first": before, "second": after} {
		other := remount(t, m.store)
		_, path, err := other.byHandle(t, h, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil || path != filepath.Join(other.dir, "then/e") {
			t.Errorf("U12: by its %s number the directory is %q, %v", what, path, err)
		} else if got := read(t, filepath.Join(path, "f")); got != "text\n" {
			t.Errorf("U12: a file in it has %q", got)
		}
	}
}

// U12: numbers that no handle can have, and those of another life's past, lead nowhere.
func TestForgedFileHandles(t *testing.T) {
	m := mount(t)
	m.sh(t, "echo text >f; mkdir d")
	then := m.moment()
	past, file, dir := m.handleOf(t, "f@t="+then), m.handleOf(t, "f"), m.handleOf(t, "d")
	must(t, m.Unmount(false))
	m.store.life++
	other := remount(t, m.store)
	other.sh(t, "cat f@t="+then) // what has the first number of the past now
	forged := func(h unix.FileHandle, change func(b []byte)) unix.FileHandle {
		b := append([]byte(nil), h.Bytes()...)
		change(b)
		return unix.NewFileHandle(h.Type(), b)
	}
	// The handle is the upper and the lower half of the number, and the generation.
	second := func(b []byte) { b[2]++ }
	unknown := func(b []byte) { b[6]++ }
	generation := func(b []byte) { b[8]++ }
	for what, h := range map[string]unix.FileHandle{
		"a past that was": past, "a second number of a file": forged(file, second), "no inode": forged(file, unknown),
		"another generation": forged(dir, generation), "0": forged(dir, func(b []byte) { clear(b) }),
	} {
		if f, _, err := other.byHandle(t, h, unix.O_RDONLY); !errors.Is(err, unix.ESTALE) {
			t.Errorf("U12: by the handle of %s: %v, %v", what, f, err)
		}
	}
}
