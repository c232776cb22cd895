package fusefs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dfs/advice"
	"dfs/errs"
	"dfs/ids"
	"dfs/mountpoint"
	"dfs/namespace"
	"dfs/objects"
)

// U3: a directory of 100,000 entries is listed completely, each entry once, while it changes; and any position
// can be gone back to.
func TestBigDirectory(t *testing.T) {
	m := mount(t)
	const entries = 100_000
	for i := range entries {
		op := namespace.Create{Parent: ids.RootIno, Name: fmt.Sprintf("file-%06d", i), Mode: unix.S_IFREG | 0o644}
		m.store.submit(fakeSelf, ids.Namespace, op.Encode())
	}
	m.client(t, "^TestClientBigDirectory$")
}

// U3: a directory is listed as it is when it is first read or rewound, even if it was rewound before it was read.
func TestRewind(t *testing.T) {
	m := mount(t)
	write(t, filepath.Join(m.dir, "a"), "")
	fd, err := unix.Open(m.dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	for _, name := range []string{"b", "c"} {
		write(t, filepath.Join(m.dir, name), "")
		_, err := unix.Seek(fd, 0, 0)
		must(t, err)
		listed := map[string]bool{}
		for buf := make([]byte, 4096); ; {
			n, err := unix.Getdents(fd, buf)
			must(t, err)
			if n == 0 {
				break
			}
			for b := buf[:n]; len(b) > 0; {
				_, length, entry := dirent(b)
				listed[entry] = true
				b = b[length:]
			}
		}
		if !listed["a"] || !listed[name] {
			t.Errorf("U3: after rewinding %v is listed, %q was made before", listed, name)
		}
	}
}

func TestClientBigDirectory(t *testing.T) {
	if clientDir == "" {
		t.Skip("runs in a child process")
	}
	const entries = 100_000
	fd, err := unix.Open(clientDir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	positions := map[string]int64{} // where to seek to find a name next
	seen := map[string]bool{}
	before := int64(0)
	for buf := make([]byte, 32<<10); ; {
		n, err := unix.Getdents(fd, buf)
		must(t, err)
		if n == 0 {
			break
		}
		for b := buf[:n]; len(b) > 0; {
			off, length, name := dirent(b)
			if seen[name] {
				t.Fatalf("U3: %s is listed twice", name)
			}
			seen[name] = true
			if len(seen)%1000 == 1 {
				positions[name] = before
			}
			before = off
			b = b[length:]
		}
		if len(seen)%3 == 0 { // what goes or comes meanwhile does not shift the rest
			_ = os.Remove(filepath.Join(clientDir, fmt.Sprintf("file-%06d", len(seen)/2)))
			write(t, filepath.Join(clientDir, fmt.Sprintf("extra-%06d", len(seen))), "")
		}
	}
	if len(seen) != entries+2 {
		t.Errorf("U3: %d names, want %d", len(seen), entries+2)
	}
	for name, off := range positions {
		if off == 0 {
			continue // rewinding shows the directory as it is now
		}
		_, err := unix.Seek(fd, off, 0)
		must(t, err)
		buf := make([]byte, 4096)
		if n, err := unix.Getdents(fd, buf); err != nil || n == 0 {
			t.Errorf("nothing at %d: %v", off, err)
		} else if _, _, got := dirent(buf); got != name {
			t.Errorf("at %d there is %s, want %s", off, got, name)
		}
	}
}

// dirent takes one struct linux_dirent64 apart.
func dirent(b []byte) (off int64, length int, name string) {
	for i := 7; i >= 0; i-- {
		off = off<<8 | int64(b[8+i])
	}
	length = int(b[16]) | int(b[17])<<8
	name = string(b[19:length])
	return off, length, name[:strings.IndexByte(name, 0)]
}

// Files can be mapped, and what another node writes shows up in the mapping (U2).
func TestMmap(t *testing.T) {
	m := mount(t)
	write(t, filepath.Join(m.dir, "f"), strings.Repeat("-", 10000))
	cmd := exec.Command(os.Args[0], "-test.run", "^TestClientMmap$", "-test.v")
	cmd.Env = append(os.Environ(), "DFS_TEST_MOUNT="+m.dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	say := func(what string) { _, err := fmt.Fprintln(in, what); must(t, err) }
	expect := func(what string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), what) {
				return
			}
		}
		t.Fatalf("the client did not say %q: %v", what, lines.Err())
	}
	expect("mapped")
	ino := ids.Ino(stat(t, filepath.Join(m.dir, "f")).Ino)
	m.store.as(fakeOther, m.store.DataShard(ino), objects.Write{Ino: ino, Off: 5000}.Encode(), []byte("remote"))
	say("look")
	expect("seen")
	must(t, cmd.Wait())
	got := read(t, filepath.Join(m.dir, "f"))
	if !strings.HasPrefix(got, "local-") || got[5000:5006] != "remote" || got[9000:9006] != "second" || len(got) != 10000 {
		t.Errorf("the file holds %q, %q, %q", got[:6], got[5000:5006], got[9000:9006])
	}
}

func TestClientMmap(t *testing.T) {
	if clientDir == "" {
		t.Skip("runs in a child process")
	}
	f, err := os.OpenFile(filepath.Join(clientDir, "f"), os.O_RDWR, 0)
	must(t, err)
	page, err := unix.Mmap(int(f.Fd()), 0, 10000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	if !bytes.Equal(page, bytes.Repeat([]byte("-"), 10000)) {
		t.Error("the mapping shows something else than the file")
	}
	copy(page, "local")
	must(t, unix.Msync(page, unix.MS_SYNC))
	fmt.Println("\nmapped")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	must(t, err)
	eventually(t, "U2: the mapping shows what another node wrote", func() bool { return string(page[5000:5006]) == "remote" })
	fmt.Println("\nseen")
	copy(page[9000:], "second")
	must(t, unix.Munmap(page))
	must(t, f.Close())
	got, err := os.ReadFile(filepath.Join(clientDir, "f"))
	if err != nil || string(got[9000:9006]) != "second" {
		t.Errorf("written through the mapping: %q, %v", got[9000:9006], err)
	}
}

// U2: a read sees what another node has written, though this kernel has the pages.
func TestRemoteWritesAreSeen(t *testing.T) {
	m := mount(t)
	write(t, filepath.Join(m.dir, "f"), "local")
	f, err := os.Open(filepath.Join(m.dir, "f"))
	must(t, err)
	defer f.Close()
	ino := ids.Ino(stat0(t, f))
	buf := make([]byte, 100)
	for i := range 1000 {
		text := fmt.Sprintf("write %03d", i) // of the same size
		m.store.as(fakeOther, m.store.DataShard(ino), objects.Write{Ino: ino}.Encode(), []byte(text))
		if n, _ := f.ReadAt(buf, 0); string(buf[:n]) != text {
			t.Fatalf("U2: read %q, want %q", buf[:n], text)
		}
	}
}

func TestCopyFileRange(t *testing.T) {
	m := mount(t, func(c *Config) { c.Store.(*fake).shards = 1 })
	text := strings.Repeat("0123456789", 100_000)
	write(t, filepath.Join(m.dir, "a"), text)
	before := len(*m.store.data.Load())
	a, err := os.Open(filepath.Join(m.dir, "a"))
	must(t, err)
	defer a.Close()
	b := m.openFile(t, "b", os.O_RDWR)
	if n, err := unix.CopyFileRange(int(a.Fd()), nil, int(b.Fd()), nil, len(text), 0); err != nil || n != len(text) {
		t.Fatalf("copied %d bytes, %v", n, err)
	}
	if read(t, b.Name()) != text || len(*m.store.data.Load()) != before {
		t.Error("the copy differs, or was written anew")
	}
	then := m.moment()
	m.sh(t, "cp --reflink=auto a@t="+then+" c; cmp a c")
}

func TestStatFS(t *testing.T) {
	m := mount(t)
	var st unix.Statfs_t
	must(t, unix.Statfs(m.dir, &st))
	if s := m.store.Space(); st.Blocks*uint64(st.Bsize) != s.TotalBytes || st.Bavail*uint64(st.Bsize) != s.FreeBytes || st.Namelen != 255 || st.Ffree != s.FreeFiles || st.Files != s.Files {
		t.Errorf("%+v, want %+v", st, s)
	}
	mnt, ok := mountpoint.At(m.dir)
	if !ok || mnt.Type != mountpoint.Type || mnt.Source != "dfs" {
		t.Errorf("the mount is shown as %+v", mnt)
	}
	if kb := m.sh(t, "cat /sys/class/bdi/0:$(stat -c %d . | awk '{print $1 % 256}')/read_ahead_kb"); kb != fmt.Sprint(readAheadKB) {
		t.Errorf("read-ahead is %s KiB", kb)
	}
}

func TestUnmount(t *testing.T) {
	m := mount(t)
	f := m.openFile(t, "f", os.O_RDWR)
	if err := m.Unmount(false); errs.KindOf(err) != errs.Busy || advice.Of(err) == "" {
		t.Errorf("unmounting a busy filesystem: %v", err)
	}
	cfg := m.cfg
	if _, err := Mount(cfg); errs.KindOf(err) != errs.Busy || advice.Of(err) == "" {
		t.Errorf("mounting twice: %v", err)
	}
	must(t, f.Close())
	must(t, m.Unmount(false))
	if _, mounted := mountpoint.At(m.dir); mounted {
		t.Error("still mounted")
	}
	must(t, m.Unmount(false))
	cfg.MountPoint = filepath.Join(m.dir, "none")
	if _, err := Mount(cfg); errs.KindOf(err) != errs.NotFound || !strings.Contains(advice.Of(err), "mkdir -p") {
		t.Errorf("mounting on nothing: %v", err)
	}
	cfg.MountPoint, cfg.Device = m.dir, filepath.Join(m.dir, "fuse")
	if _, err := Mount(cfg); errs.KindOf(err) != errs.Unavailable || advice.Of(err) == "" {
		t.Errorf("mounting without FUSE: %v", err)
	}
	if _, err := Mount(Config{MaxPending: -1, MountPoint: "x"}); errs.KindOf(err) != errs.Invalid || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three mistakes: %v", err)
	}
}

// A mount whose callers wait for ever can be taken away, and they are told.
func TestUnmountWhileWaiting(t *testing.T) {
	m := mount(t)
	m.store.hold(true)
	var err error
	done := goes(func() { err = os.Mkdir(filepath.Join(m.dir, "d"), 0o755) })
	eventually(t, "it waits", func() bool { return m.store.holds("d") })
	must(t, unix.Unmount(m.dir, unix.MNT_FORCE|unix.MNT_DETACH))
	<-done
	if !errors.Is(err, unix.ECONNABORTED) && !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.EINTR) {
		t.Errorf("mkdir: %v", err)
	}
	must(t, m.Wait())
}

// U6: however many requests wait, another one is read and answered.
func TestManyWaiting(t *testing.T) {
	m := mount(t)
	m.store.hold(true)
	const count = 12
	var waiting []<-chan struct{}
	for k := range count {
		waiting = append(waiting, goes(func() { _ = os.Mkdir(filepath.Join(m.dir, fmt.Sprint("d", k)), 0o755) }))
	}
	// mkdir takes the directory's lock in the kernel, so one of them waits here and the others there.
	eventually(t, "they wait", func() bool { return m.store.pending.Load() > 0 })
	for range 100 {
		var s unix.Statfs_t
		must(t, unix.Statfs(m.dir, &s))
	}
	m.store.hold(false)
	for _, w := range waiting {
		<-w
	}
}
