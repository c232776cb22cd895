package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// byHandle opens a file by its handle at a mount and returns what it holds; of a directory, what is listed.
func byHandle(node int, h unix.FileHandle) (string, error) {
	mount, err := unix.Open(cluster.mount(node), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(mount)
	fd, err := unix.OpenByHandleAt(mount, h, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), "handle")
	defer f.Close()
	if names, err := f.Readdirnames(-1); err == nil {
		return fmt.Sprint(names), nil
	}
	var text bytes.Buffer
	_, err = text.ReadFrom(f)
	return text.String(), err
}

// A handle of name_to_handle_at leads to its file or directory at every mount, though the kernel has never heard of it there,
// also after the node was restarted; when the file is gone it is stale everywhere. So the filesystem can be exported over NFS.
func TestFileHandles(t *testing.T) {
	w := newWorld(t, true)
	w.shell(0, "mkdir -p deep/er; echo text > deep/er/f")
	wants := map[string]string{"deep/er/f": "text\n", "deep/er": "[f]", "deep": "[er]"}
	handles := map[string]unix.FileHandle{}
	for name := range wants {
		h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(cluster.mount(0), w.dir, name), 0)
		if err != nil {
			t.Fatal(err)
		}
		handles[name] = h
	}
	everyNode := func(when string) {
		t.Helper()
		for n := range mounts {
			for name, want := range wants {
				if got, err := byHandle(n, handles[name]); err != nil || got != want {
					t.Errorf("%s, at mount %d, the handle of %s leads to %q, %v; want %q", when, n+1, name, got, err, want)
				}
			}
		}
	}
	everyNode("at first")
	if err := cluster.dfs("dev", "restart", filepath.Join(cluster.dir, "c"), "3"); err != nil {
		t.Fatal(err)
	}
	everyNode("after a restart of node 3")
	w.shell(1, "mv deep moved; rm moved/er/f; mkdir moved/again; touch moved/again/g; mv moved/again moved/er")
	wants["deep/er"], wants["deep"] = "[again]", "[er]"
	for n := range mounts { // the kernel of another node may have it in hand for a moment
		stale := func() bool { _, err := byHandle(n, handles["deep/er/f"]); return errors.Is(err, unix.ESTALE) }
		within(t, 10*time.Second, stale, func() string { return fmt.Sprintf("at mount %d, the handle of a file that is gone is not stale", n+1) })
	}
	delete(wants, "deep/er/f")
	everyNode("after moves")
}
