package posix

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// req is a call on a path, with its numbers.
func req(op, path string, n ...int64) request {
	n = append(n, 0, 0, 0)
	return request{Op: op, Path: path, A: n[0], B: n[1], C: n[2]}
}

// pathCall is a call with the path in question.
type pathCall struct {
	name string
	make func(path string) request
	// makes: the last component is made. changes: what it names, or its directory, is changed. The others only ask.
	makes, changes bool
	dir            bool // it takes an existing directory as well as a file
}

// withOther is a call with a second path, which is fine.
func withOther(op, first, second string) func(path string) request {
	return func(path string) request {
		r := request{Op: op, Path: path, Path2: second}
		if first != "" {
			r.Path, r.Path2 = first, path
		}
		return r
	}
}

func numbers(op string, n ...int64) func(path string) request {
	return func(path string) request { return req(op, path, n...) }
}

// pathCalls are all calls that take a path. "there" is a file that exists, "free" a name that does not.
var pathCalls = []pathCall{
	{name: "open", make: numbers("open", unix.O_RDONLY)},
	{name: "creat", make: numbers("open", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644), makes: true, changes: true},
	{name: "mkdir", make: numbers("mkdir", 0o755), makes: true, changes: true},
	{name: "mkfifo", make: numbers("mknod", unix.S_IFIFO|0o644), makes: true, changes: true},
	{name: "mknod", make: numbers("mknod", unix.S_IFREG|0o644), makes: true, changes: true},
	{name: "symlink", make: withOther("symlink", "", "target"), makes: true, changes: true},
	{name: "link to", make: withOther("link", "there", ""), makes: true, changes: true},
	{name: "link from", make: withOther("link", "", "free")},
	{name: "rename to", make: withOther("rename", "there", ""), makes: true, changes: true},
	{name: "rename from", make: withOther("rename", "", "free"), changes: true},
	{name: "unlink", make: numbers("unlink"), changes: true},
	{name: "rmdir", make: numbers("rmdir"), changes: true, dir: true},
	{name: "chmod", make: numbers("chmod", 0o600), changes: true, dir: true},
	{name: "chown", make: numbers("chown", 0, 0), changes: true, dir: true},
	{name: "lchown", make: numbers("lchown", 0, 0), changes: true, dir: true},
	{name: "truncate", make: numbers("truncate", 5), changes: true},
	{name: "utimensat", make: numbers("utimes", 1e9, 2e9), changes: true, dir: true},
	{name: "statx", make: numbers("stat"), dir: true},
	{name: "access", make: numbers("access", unix.F_OK), dir: true},
	{name: "readlink", make: numbers("readlink")},
	{name: "getdents", make: numbers("list"), dir: true},
	{name: "setxattr", make: withOther("setxattr", "", "user.a"), changes: true, dir: true},
	{name: "getxattr", make: withOther("getxattr", "", "user.a"), dir: true},
	{name: "listxattr", make: numbers("listxattr"), dir: true},
	{name: "removexattr", make: withOther("removexattr", "", "user.a"), changes: true, dir: true},
}

// What every call says of a path that leads nowhere.
func TestPaths(t *testing.T) {
	everywhere(t, func(w *world) {
		r, b := w.as(root), w.as(bob)
		r.call(0, req("mkdir", "closed", 0o700))
		r.call(0, req("mkdir", "readable", 0o755))
		for _, f := range []string{"file", "there", "closed/file", "readable/file"} {
			r.open(f, unix.O_CREAT|unix.O_WRONLY, 0o666).close() // or it could not be linked to
		}
		r.call(0, request{Op: "symlink", Path: "loop", Path2: "loop2"})
		r.call(0, request{Op: "symlink", Path: "loop2", Path2: "loop"})
		r.call(0, request{Op: "symlink", Path: "dangling", Path2: "nothing"})
		long := strings.Repeat("n", 255)
		for _, c := range pathCalls {
			for _, bad := range []struct {
				path string
				want syscall.Errno
			}{
				{"", unix.ENOENT},
				{"nothing/x", unix.ENOENT},
				{"dangling/x", unix.ENOENT},
				{"file/x", unix.ENOTDIR},
				{"file/..", unix.ENOTDIR},
				{"loop/x", unix.ELOOP},
				{long + "n", unix.ENAMETOOLONG},
				{long + "n/x", unix.ENAMETOOLONG},
				{strings.Repeat("./", 2048) + "x", unix.ENAMETOOLONG},
				{long + "/x", unix.ENOENT},
			} {
				r.call(bad.want, c.make(bad.path))
			}
			if !c.makes {
				r.call(unix.ENOENT, c.make("nothing"))
				r.call(unix.ENOENT, c.make(long))
				r.call(unix.ENOENT, c.make(strings.Repeat("./", 2047)+"x"))
			}
			b.call(unix.EACCES, c.make("closed/file"))
			if c.makes {
				b.call(unix.EACCES, c.make("readable/new"))
			}
		}
	})
}

// Names of 255 bytes and paths of 4095 are fine for all that makes something.
func TestLongNames(t *testing.T) {
	everywhere(t, func(w *world) {
		r := w.as(root)
		r.open("there", unix.O_CREAT|unix.O_WRONLY, 0o644).close()
		for i, c := range pathCalls {
			if !c.makes {
				continue
			}
			name := strings.Repeat(string(rune('a'+i)), 255)
			path := strings.Repeat("./", (4095-255)/2) + name
			got := r.do(c.make(path))
			if got.Errno != 0 {
				t.Fatalf("%s of 255 bytes in a path of %d: %v", c.name, len(path), got.Errno)
			}
			r.stat(name)
			if c.name == "rename to" {
				r.call(0, request{Op: "rename", Path: name, Path2: "there"})
			}
		}
		r.call(0, request{Op: "symlink", Path: "s", Path2: strings.Repeat("t", 4095)})
		if got := r.call(0, req("readlink", "s")); len(got.Data) != 4095 {
			t.Fatalf("a target of %d bytes", len(got.Data))
		}
		r.call(unix.ENAMETOOLONG, request{Op: "symlink", Path: "s2", Path2: strings.Repeat("t", 4096)})
		r.call(unix.ENOENT, request{Op: "symlink", Path: "s2", Path2: ""})
	})
}

// The past cannot be changed (EROFS), and its names cannot be taken.
func TestPastIsReadOnly(t *testing.T) {
	w := newWorld(t, true)
	r := w.as(root)
	r.open("there", unix.O_CREAT|unix.O_WRONLY, 0o644).close()
	eventually(w, "the moment is past", func() bool { return r.do(req("stat", "@t=-0s/there")).Errno == 0 })
	for _, c := range pathCalls {
		switch {
		case c.makes && c.name != "rename to" && c.name != "link to":
			r.call(unix.EROFS, c.make("@t=-0s/new"))
		case c.changes && !c.makes && c.name != "rename from" && c.name != "rmdir" && c.name != "removexattr":
			r.call(unix.EROFS, c.make("@t=-0s/there"))
		}
	}
	r.call(unix.EXDEV, request{Op: "link", Path: "@t=-0s/there", Path2: "new"})
	r.call(unix.EINVAL, req("mkdir", "@t=2020", 0o755))
}

// What the kinds of object say to calls that are not for them.
func TestKinds(t *testing.T) {
	everywhere(t, func(w *world) {
		r := w.as(root)
		r.call(0, req("mkdir", "d", 0o755))
		r.open("d/f", unix.O_CREAT|unix.O_WRONLY, 0o644).close()
		r.call(0, request{Op: "symlink", Path: "s", Path2: "d"})
		r.call(0, request{Op: "symlink", Path: "loop", Path2: "loop"})
		r.call(0, req("mknod", "p", unix.S_IFIFO|0o644))
		r.call(0, req("mknod", "c", unix.S_IFCHR|0o644, int64(unix.Mkdev(250, 70000))))
		r.call(0, req("mknod", "b", unix.S_IFBLK|0o644, int64(unix.Mkdev(7, 3))))
		r.call(0, req("mknod", "k", unix.S_IFSOCK|0o644))
		for name, typ := range map[string]uint16{"d": unix.S_IFDIR, "d/f": unix.S_IFREG, "s": unix.S_IFLNK, "p": unix.S_IFIFO, "c": unix.S_IFCHR, "b": unix.S_IFBLK, "k": unix.S_IFSOCK} {
			if st := r.stat(name); st.Mode&unix.S_IFMT != typ {
				t.Errorf("%s has mode %o", name, st.Mode)
			}
		}
		if st := r.stat("c"); st.Rdev_major != 250 || st.Rdev_minor != 70000 {
			t.Errorf("device %d:%d", st.Rdev_major, st.Rdev_minor)
		}
		for _, c := range []struct {
			want syscall.Errno
			r    request
		}{
			{unix.EISDIR, req("unlink", "d")},
			{unix.ENOTDIR, req("rmdir", "d/f")},
			{unix.ENOTDIR, req("rmdir", "s")},
			{unix.ENOTEMPTY, req("rmdir", "d")},
			{unix.EINVAL, req("rmdir", "d/.")},
			{unix.ENOTEMPTY, req("rmdir", "d/..")},
			{unix.EISDIR, req("open", "d", unix.O_WRONLY)},
			{unix.EISDIR, req("open", "d", unix.O_RDWR)},
			{unix.EISDIR, req("open", "d", unix.O_RDONLY|unix.O_CREAT, 0o644)},
			{unix.ENOTDIR, req("open", "d/f", unix.O_RDONLY|unix.O_DIRECTORY)},
			{unix.ELOOP, req("open", "s", unix.O_RDONLY|unix.O_NOFOLLOW)},
			{unix.ELOOP, req("open", "loop", unix.O_RDONLY)},
			{unix.EEXIST, req("open", "d/f", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)},
			{unix.EEXIST, req("open", "s", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)},
			{unix.ENXIO, req("open", "p", unix.O_WRONLY|unix.O_NONBLOCK)},
			{unix.ENXIO, req("open", "k", unix.O_RDONLY)},
			{unix.EISDIR, req("truncate", "d", 0)},
			{unix.EINVAL, req("truncate", "d/f", -1)},
			{unix.EINVAL, req("truncate", "p", 0)},
			{unix.EINVAL, req("readlink", "d/f")},
			{unix.EINVAL, req("readlink", "d")},
			{unix.EPERM, request{Op: "link", Path: "d", Path2: "new"}},
			{unix.EEXIST, request{Op: "link", Path: "d/f", Path2: "p"}},
			{unix.EEXIST, request{Op: "symlink", Path: "d", Path2: "x"}},
			{unix.EEXIST, req("mkdir", "p", 0o755)},
			{unix.EEXIST, req("mkdir", "s", 0o755)},
			{unix.EEXIST, req("mknod", "s", unix.S_IFIFO|0o644)},
			{unix.EOPNOTSUPP, request{Op: "setxattr", Path: "d/f", Path2: "nosuch.a"}},
			{unix.EPERM, request{Op: "setxattr", Path: "s", Path2: "user.a"}},
			{unix.EPERM, request{Op: "setxattr", Path: "p", Path2: "user.a"}},
		} {
			r.call(c.want, c.r)
		}
		r.call(0, req("open", "s", unix.O_RDONLY|unix.O_DIRECTORY))
	})
}

// rename(2), with the flags of renameat2(2).
func TestRename(t *testing.T) {
	everywhere(t, func(w *world) {
		r := w.as(root)
		ren := func(want syscall.Errno, from, to string, flags int64) {
			t.Helper()
			r.call(want, request{Op: "rename", Path: from, Path2: to, A: flags})
		}
		for _, d := range []string{"a", "a/b", "a/b/c", "e", "full"} {
			r.call(0, req("mkdir", d, 0o755))
		}
		for _, f := range []string{"f", "g", "full/x"} {
			r.open(f, unix.O_CREAT|unix.O_WRONLY, 0o644).close()
		}
		ren(unix.EINVAL, "a", "a/b/c/new", 0)
		ren(unix.EINVAL, "a", "a/b", 0)
		ren(unix.ENOTEMPTY, "a/b/c", "a", 0)
		ren(unix.ENOTEMPTY, "e", "full", 0)
		ren(unix.EISDIR, "f", "e", 0)
		ren(unix.ENOTDIR, "e", "f", 0)
		ren(unix.EBUSY, "e/.", "new", 0)
		ren(unix.EBUSY, "e", "full/..", 0)
		ren(unix.EEXIST, "f", "g", unix.RENAME_NOREPLACE)
		ren(unix.ENOENT, "f", "nothing", unix.RENAME_EXCHANGE)
		ren(unix.EINVAL, "a", "a/b", unix.RENAME_EXCHANGE)
		ren(unix.EINVAL, "f", "g", unix.RENAME_EXCHANGE|unix.RENAME_NOREPLACE)
		ren(unix.EINVAL, "f", "g", 1<<7)

		ino, links := r.stat("e").Ino, r.stat("a/b").Nlink
		ren(0, "e", "a/b/c", 0)
		if st := r.stat("a/b/c"); st.Ino != ino || r.stat("a/b").Nlink != links {
			t.Errorf("a directory over a directory: inode %d, want %d; %d links", st.Ino, ino, r.stat("a/b").Nlink)
		}
		ren(0, "a/b/c", "e", unix.RENAME_NOREPLACE)
		if got := r.stat("a/b").Nlink; got != links-1 {
			t.Errorf("%d links, want %d", got, links-1)
		}
		f, g := r.stat("f").Ino, r.stat("g").Ino
		ren(0, "f", "g", unix.RENAME_EXCHANGE)
		if r.stat("f").Ino != g || r.stat("g").Ino != f {
			t.Error("the names were not exchanged")
		}
		ren(0, "f", "full", unix.RENAME_EXCHANGE)
		if r.stat("f/x").Ino == 0 {
			t.Error("a file and a directory were not exchanged")
		}
		// Two names of one file: nothing happens, to either.
		r.call(0, request{Op: "link", Path: "g", Path2: "h"})
		ren(0, "g", "h", 0)
		if r.stat("g").Ino != r.stat("h").Ino || r.stat("g").Nlink != 2 {
			t.Error("two names of one file became one")
		}
		// A file that is replaced stays with those who have it open.
		open := r.open("g", unix.O_RDWR, 0)
		open.call(0, request{Op: "pwrite", Data: []byte("old")})
		r.open("n", unix.O_CREAT|unix.O_WRONLY, 0o644).close()
		ren(0, "n", "g", 0)
		r.call(0, req("unlink", "h"))
		if st := open.call(0, request{Op: "fstat"}).Stat; st.Nlink != 0 || st.Size != 3 {
			t.Errorf("the replaced file has %d links and size %d", st.Nlink, st.Size)
		}
		if got := open.call(0, request{Op: "pread", A: 10}); string(got.Data) != "old" {
			t.Errorf("the replaced file holds %q", got.Data)
		}
	})
}
