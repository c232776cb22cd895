package fusefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func want(t testing.TB, what string, err error, errno syscall.Errno) {
	t.Helper()
	if errno == 0 && err != nil || errno != 0 && !errors.Is(err, errno) {
		t.Errorf("%s: got %v, want %v", what, err, errno)
	}
}

// U1: system calls return the error numbers that Linux programs expect.
func TestErrorNumbers(t *testing.T) {
	dir := mount(t).dir
	p := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(p("d/e"), 0o755))
	write(t, p("f"), "x")
	must(t, os.Symlink("f", p("s")))
	must(t, unix.Setxattr(p("f"), "user.a", []byte("value"), 0))
	open := func(name string, flags int) error {
		fd, err := unix.Open(p(name), flags, 0o644)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	rename2 := func(a, b string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, p(a), unix.AT_FDCWD, p(b), flags)
	}
	getxattr := func(name, attr string, room int) error {
		_, err := unix.Getxattr(p(name), attr, make([]byte, room))
		return err
	}
	_, readlink := os.Readlink(p("f"))
	for _, c := range []struct {
		what string
		err  error
		want syscall.Errno
	}{
		{"open missing", open("none", unix.O_RDONLY), unix.ENOENT},
		{"open below missing", open("none/x", unix.O_RDONLY), unix.ENOENT},
		{"open below file", open("f/x", unix.O_RDONLY), unix.ENOTDIR},
		{"open exclusively", open("f", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), unix.EEXIST},
		{"write to directory", open("d", unix.O_WRONLY), unix.EISDIR},
		{"open link without following", open("s", unix.O_RDONLY|unix.O_NOFOLLOW), unix.ELOOP},
		{"mkdir existing", unix.Mkdir(p("d"), 0o755), unix.EEXIST},
		{"rmdir full", unix.Rmdir(p("d")), unix.ENOTEMPTY},
		{"rmdir file", unix.Rmdir(p("f")), unix.ENOTDIR},
		{"unlink directory", unix.Unlink(p("d")), unix.EISDIR},
		{"unlink missing", unix.Unlink(p("none")), unix.ENOENT},
		{"rename into itself", unix.Rename(p("d"), p("d/e/x")), unix.EINVAL},
		{"rename directory over file", unix.Rename(p("d"), p("f")), unix.ENOTDIR},
		{"rename file over directory", unix.Rename(p("f"), p("d")), unix.EISDIR},
		{"rename over full directory", unix.Rename(p("d/e"), p("d")), unix.ENOTEMPTY},
		{"rename without replacing", rename2("f", "s", unix.RENAME_NOREPLACE), unix.EEXIST},
		{"exchange with missing", rename2("f", "none", unix.RENAME_EXCHANGE), unix.ENOENT},
		{"rename with whiteout", rename2("f", "g", unix.RENAME_WHITEOUT), unix.EINVAL},
		{"link directory", unix.Link(p("d"), p("d2")), unix.EPERM},
		{"link over existing", unix.Link(p("f"), p("s")), unix.EEXIST},
		{"readlink of file", readlink, unix.EINVAL},
		{"name of 256 bytes", open(strings.Repeat("n", 256), unix.O_CREAT|unix.O_WRONLY), unix.ENAMETOOLONG},
		{"target of 4096 bytes", unix.Symlink(strings.Repeat("n", 4096), p("long")), unix.ENAMETOOLONG},
		{"truncate directory", unix.Truncate(p("d"), 0), unix.EISDIR},
		{"getxattr missing", getxattr("f", "user.none", 10), unix.ENODATA},
		{"getxattr small room", getxattr("f", "user.a", 3), unix.ERANGE},
		{"setxattr existing", unix.Setxattr(p("f"), "user.a", nil, unix.XATTR_CREATE), unix.EEXIST},
		{"setxattr missing", unix.Setxattr(p("f"), "user.b", nil, unix.XATTR_REPLACE), unix.ENODATA},
		{"removexattr missing", unix.Removexattr(p("f"), "user.b"), unix.ENODATA},
		{"reserved name", open("@t=whenever", unix.O_CREAT|unix.O_WRONLY), unix.EINVAL},
		{"reserved directory", unix.Mkdir(p("@snapshots"), 0o755), unix.EINVAL},
		{"rename to reserved name", unix.Rename(p("f"), p("@v=x")), unix.EINVAL},
		{"link to reserved name", unix.Link(p("f"), p("@snapshots")), unix.EINVAL},
		{"symlink of reserved name", unix.Symlink("x", p("@t=")), unix.EINVAL},
	} {
		want(t, c.what, c.err, c.want)
	}
}

// Names may hold any byte but zero and slash.
func TestOddNames(t *testing.T) {
	dir := mount(t).dir
	names := []string{
		strings.Repeat("x", 255), strings.Repeat("\xff", 255), " ", "\n", "\x01\x7f", "-rf", "a\\b", "\xc3\x28", "日本語", "@", "@foo", "x@t=", "x@v=y", "@GMT-1",
		"...", "~", "*", "a b\tc",
	}
	for i, name := range names {
		write(t, filepath.Join(dir, name), fmt.Sprint(i))
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != len(names) {
		t.Errorf("%d entries, want %d", len(entries), len(names))
	}
	for i, name := range names {
		if got := read(t, filepath.Join(dir, name)); got != fmt.Sprint(i) {
			t.Errorf("%q holds %q, want %d", name, got, i)
		}
		must(t, os.Remove(filepath.Join(dir, name)))
	}
}

func TestRename(t *testing.T) {
	dir := mount(t).dir
	p := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(p("a/sub"), 0o755))
	must(t, os.Mkdir(p("b"), 0o755))
	write(t, p("a/f"), "one")
	write(t, p("b/g"), "two")
	must(t, unix.Renameat2(unix.AT_FDCWD, p("a/f"), unix.AT_FDCWD, p("b/g"), unix.RENAME_EXCHANGE))
	if read(t, p("a/f")) != "two" || read(t, p("b/g")) != "one" {
		t.Error("exchange of files")
	}
	must(t, unix.Renameat2(unix.AT_FDCWD, p("a/sub"), unix.AT_FDCWD, p("b/g"), unix.RENAME_EXCHANGE))
	if a, b := stat(t, p("a")), stat(t, p("b")); a.Nlink != 2 || b.Nlink != 3 {
		t.Errorf("link counts %d and %d after a directory and a file changed places", a.Nlink, b.Nlink)
	}
	f, err := os.Open(p("a/sub")) // the file "one"
	must(t, err)
	defer f.Close()
	must(t, os.Rename(p("a/f"), p("a/sub")))
	if b, err := io.ReadAll(f); err != nil || string(b) != "one" {
		t.Errorf("an open file that was renamed over holds %q, %v", b, err)
	}
	must(t, unix.Renameat2(unix.AT_FDCWD, p("a/sub"), unix.AT_FDCWD, p("c"), unix.RENAME_NOREPLACE))
	if read(t, p("c")) != "two" {
		t.Error("rename without replacing")
	}
	must(t, os.Rename(p("b"), p("a/b")))
	if _, err := os.Stat(p("a/b/g/.")); err != nil {
		t.Error(err)
	}
}

// A sparse file, larger than 32 bits can count, with holes made in all ways.
func TestSparse(t *testing.T) {
	dir := mount(t).dir
	const far = 5 << 30
	f, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	defer f.Close()
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096) // 64 KiB
	_, err = f.WriteAt(block, far)
	must(t, err)
	_, err = f.WriteAt(block, 1<<20)
	must(t, err)
	st := stat(t, f.Name())
	if st.Size != far+int64(len(block)) || st.Blocks != 2*int64(len(block))/512 {
		t.Errorf("size %d, %d blocks", st.Size, st.Blocks)
	}
	seek := func(off int64, whence int, want int64) {
		t.Helper()
		if at, err := unix.Seek(int(f.Fd()), off, whence); err != nil || at != want {
			t.Errorf("lseek(%d, %d) = %d, %v; want %d", off, whence, at, err, want)
		}
	}
	seek(0, unix.SEEK_DATA, 1<<20)
	seek(1<<20+5, unix.SEEK_HOLE, 1<<20+int64(len(block)))
	seek(2<<20, unix.SEEK_DATA, far)
	got := make([]byte, len(block))
	check := func(what string, off int64, want []byte) {
		t.Helper()
		if _, err := f.ReadAt(got[:len(want)], off); err != nil || !bytes.Equal(got[:len(want)], want) {
			t.Errorf("%s: %v, or other bytes", what, err)
		}
	}
	zeros := make([]byte, len(block))
	check("data beyond 4 GiB", far, block)
	check("hole", 3<<30, zeros)
	must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1<<20+4096, 8192))
	check("before the punched hole", 1<<20, block[:4096])
	check("in the punched hole", 1<<20+4096, zeros[:8192])
	check("after the punched hole", 1<<20+12288, block[12288:])
	must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE, far+int64(len(block))-4096, 8192))
	check("zeroed range", far+int64(len(block))-4096, zeros[:8192])
	must(t, unix.Fallocate(int(f.Fd()), 0, far, 1<<20))
	if st := stat(t, f.Name()); st.Size != far+1<<20 {
		t.Errorf("size %d after allocating", st.Size)
	}
	want(t, "collapse", unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096), unix.EOPNOTSUPP)
	must(t, f.Truncate(1<<20+100))
	must(t, f.Truncate(1<<20+8192))
	check("after shrinking and growing", 1<<20, append(bytes.Clone(block[:100]), zeros[:3996]...))
}

// What is removed lives on while it is open, and is gone when it is closed (U9).
func TestRemovedButOpen(t *testing.T) {
	m := mount(t)
	p := func(name string) string { return filepath.Join(m.dir, name) }
	f, err := os.Create(p("f"))
	must(t, err)
	must(t, os.Remove(p("f")))
	_, err = f.WriteString("still here")
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	if st.Nlink != 0 || st.Size != 10 {
		t.Errorf("nlink %d, size %d", st.Nlink, st.Size)
	}
	m.reaped(t, 1)
	got := make([]byte, 20)
	if n, err := f.ReadAt(got, 0); err != io.EOF || string(got[:n]) != "still here" {
		t.Errorf("read %q, %v", got[:n], err)
	}
	must(t, os.Mkdir(p("d"), 0o755))
	d, err := os.Open(p("d"))
	must(t, err)
	must(t, os.Remove(p("d")))
	if err := unix.Fstat(int(d.Fd()), &st); err != nil || st.Nlink != 0 {
		t.Errorf("a removed directory: nlink %d, %v", st.Nlink, err)
	}
	tmp, err := unix.Open(m.dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	must(t, err)
	_, err = unix.Write(tmp, []byte("anonymous"))
	must(t, err)
	must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", tmp), unix.AT_FDCWD, p("named"), unix.AT_SYMLINK_FOLLOW))
	must(t, unix.Close(tmp))
	if read(t, p("named")) != "anonymous" {
		t.Error("a linked temporary file")
	}
	must(t, f.Close())
	must(t, d.Close())
	m.reaped(t, 0)
}
