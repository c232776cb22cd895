package posix

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func (c *actor) mode(path string) uint32 { c.w.Helper(); return uint32(c.stat(path).Mode) & 0o7777 }

func (c *actor) wantMode(path string, want uint32) {
	c.w.Helper()
	if got := c.mode(path); got != want {
		c.w.Fatalf("%s has mode %o, want %o", path, got, want)
	}
}

func (c *actor) create(path string, mode uint32) {
	c.w.Helper()
	c.open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, mode).close()
}

// Every combination of permission bits lets in whom it says: the owner by the first three, the group by the next,
// also as a supplementary one, others by the last; and root.
func TestPermissionBits(t *testing.T) {
	everywhere(t, func(w *world) {
		r := w.as(root)
		r.create("f", 0)
		r.call(0, req("chown", "f", int64(alice.UID), int64(alice.GID)))
		for mode := uint32(0); mode < 0o1000; mode += 7 {
			r.call(0, req("chmod", "f", int64(mode)))
			for _, who := range []struct {
				u     user
				shift int
			}{{alice, 6}, {carol, 3}, {bob, 0}} {
				for _, access := range []uint32{4, 2, 6} {
					want := syscall.Errno(0)
					if mode>>who.shift&access != access {
						want = unix.EACCES
					}
					w.as(who.u).call(want, req("access", "f", int64(access)))
				}
			}
			r.call(0, req("access", "f", 6))
		}
	})
}

// open(2) with each mode against each permission.
func TestOpenPermissions(t *testing.T) {
	everywhere(t, func(w *world) {
		w.as(alice).create("f", 0o600)
		flags := map[int64]int64{unix.O_RDONLY: 4, unix.O_WRONLY: 2, unix.O_RDWR: 6, unix.O_RDONLY | unix.O_TRUNC: 6}
		for perm := int64(0); perm < 8; perm++ {
			w.as(root).call(0, req("chmod", "f", perm))
			for flag, needs := range flags {
				want := syscall.Errno(0)
				if perm&needs != needs {
					want = unix.EACCES
				}
				b := w.as(bob)
				p := b.process()
				got := p.do(req("open", "f", flag))
				if got.Errno != want {
					t.Fatalf("open with %o of mode %o: %v, want %v", flag, perm, name(got.Errno), name(want))
				}
				if want == 0 {
					p.do(request{Op: "close", FD: int(got.N)})
				}
			}
		}
		// A file that is made may be opened for anything, whatever its mode.
		w.as(bob).open("new", unix.O_CREAT|unix.O_RDWR, 0).close()
		w.as(bob).call(unix.EACCES, req("open", "new", unix.O_RDONLY))
	})
}

// Who may change what: only the owner and root chmod, only root chowns, but an owner may give a file to a group that
// he is in; entries need write permission on the directory.
func TestOwnership(t *testing.T) {
	everywhere(t, func(w *world) {
		r, a, b, c := w.as(root), w.as(alice), w.as(bob), w.as(carol)
		a.create("f", 0o644)
		b.call(unix.EPERM, req("chmod", "f", 0o666))
		b.call(unix.EPERM, req("chown", "f", int64(bob.UID), -1))
		a.call(unix.EPERM, req("chown", "f", int64(bob.UID), -1))
		a.call(unix.EPERM, req("chown", "f", -1, int64(bob.GID)))
		a.call(0, req("chown", "f", -1, int64(alice.GID)))
		b.call(unix.EPERM, req("utimes", "f", 1e9, 1e9))
		b.call(unix.EACCES, req("utimes", "f", unix.UTIME_NOW, unix.UTIME_NOW))
		a.call(0, req("chmod", "f", 0o666))
		b.call(0, req("utimes", "f", unix.UTIME_NOW, unix.UTIME_NOW))
		b.call(unix.EPERM, req("utimes", "f", 1e9, unix.UTIME_OMIT))
		c.create("g", 0o644)
		c.call(0, req("chown", "g", -1, int64(alice.GID)))
		if st := r.stat("g"); st.Gid != uint32(alice.GID) {
			t.Errorf("group %d", st.Gid)
		}
		r.call(0, req("mkdir", "d", 0o755))
		r.create("d/x", 0o666)
		b.call(unix.EACCES, req("unlink", "d/x"))
		b.call(unix.EACCES, req("mkdir", "d/y", 0o755))
		b.call(unix.EACCES, request{Op: "rename", Path: "d/x", Path2: "x"})
		b.call(unix.EACCES, request{Op: "rename", Path: "d/x", Path2: "d/z"})
		b.call(0, req("truncate", "d/x", 3))
		r.call(0, req("chmod", "d", 0o777))
		b.call(0, request{Op: "rename", Path: "d/x", Path2: "d/z"})
		b.call(0, req("unlink", "d/z"))
		r.call(0, req("chmod", "d", 0o666)) // no search
		b.call(unix.EACCES, req("stat", "d/x"))
		b.call(unix.EACCES, req("chdir", "d"))
	})
}

// In a sticky directory only the owner of an entry, of the directory, and root take it away.
func TestSticky(t *testing.T) {
	everywhere(t, func(w *world) {
		r, a, b, c := w.as(root), w.as(alice), w.as(bob), w.as(carol)
		a.call(0, req("mkdir", "d", 0o1777))
		r.wantMode("d", 0o1777)
		for _, n := range []string{"d/1", "d/2", "d/3", "d/4"} {
			b.create(n, 0o666)
		}
		b.call(0, req("mkdir", "d/dir", 0o777))
		c.create("mine", 0o666)
		c.call(unix.EPERM, req("unlink", "d/1"))
		c.call(unix.EPERM, req("rmdir", "d/dir"))
		c.call(unix.EPERM, request{Op: "rename", Path: "d/1", Path2: "d/9"})
		c.call(unix.EPERM, request{Op: "rename", Path: "mine", Path2: "d/1"})
		b.call(0, req("unlink", "d/1"))
		a.call(0, req("unlink", "d/2"))
		r.call(0, req("unlink", "d/3"))
		b.call(0, request{Op: "rename", Path: "d/4", Path2: "d/5"})
		a.call(0, request{Op: "rename", Path: "d/5", Path2: "back"})
	})
}

// The umask takes bits off, and a setgid directory gives its group, and itself to directories.
func TestInheritance(t *testing.T) {
	everywhere(t, func(w *world) {
		a := w.as(alice)
		for n := range mounts {
			w.at(n, alice).call(0, req("umask", "", 0o027))
		}
		a.create("f", 0o666)
		a.call(0, req("mkdir", "d", 0o777))
		a.call(0, req("mknod", "p", unix.S_IFIFO|0o666))
		a.wantMode("f", 0o640)
		a.wantMode("d", 0o750)
		a.wantMode("p", 0o640)
		r := w.as(root)
		r.call(0, req("mkdir", "g", 0o777))
		r.call(0, req("chown", "g", 0, int64(carol.GID)))
		r.call(0, req("chmod", "g", 0o2777))
		a.create("g/f", 0o2770)
		a.call(0, req("mkdir", "g/d", 0o777))
		for name, want := range map[string]uint32{"g/f": 0o750, "g/d": 0o2750} {
			a.wantMode(name, want) // alice is not in carol's group: no setgid for her file
			if st := a.stat(name); st.Gid != uint32(carol.GID) || st.Uid != uint32(alice.UID) {
				t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
			}
		}
		if st := a.stat("f"); st.Gid != uint32(alice.GID) {
			t.Errorf("group %d outside of the setgid directory", st.Gid)
		}
	})
}

// set-user-id and set-group-id are lost when a stranger writes, truncates or root gives the file away, and kept when
// nothing is written or root writes.
func TestSetIDBits(t *testing.T) {
	everywhere(t, func(w *world) {
		r, a, b := w.as(root), w.as(alice), w.as(bob)
		a.create("f", 0o666)
		reset := func() {
			w.Helper()
			r.call(0, req("chmod", "f", 0o6777))
			r.wantMode("f", 0o6777)
		}
		for what, change := range map[string]func(){
			"write": func() {
				f := b.open("f", unix.O_WRONLY, 0)
				f.call(0, request{Op: "pwrite", Data: []byte("x")})
				f.close()
			},
			"append": func() {
				f := b.open("f", unix.O_WRONLY|unix.O_APPEND, 0)
				f.call(0, request{Op: "write", Data: []byte("x")})
				f.close()
			},
			"truncate":  func() { b.call(0, req("truncate", "f", 1)) },
			"ftruncate": func() { f := b.open("f", unix.O_WRONLY, 0); f.call(0, req("ftruncate", "", 2)); f.close() },
			"O_TRUNC":   func() { b.open("f", unix.O_WRONLY|unix.O_TRUNC, 0).close() },
			"fallocate": func() { f := b.open("f", unix.O_WRONLY, 0); f.call(0, req("fallocate", "", 0, 100, 0)); f.close() },
			"copy_file_range": func() {
				f := b.open("f", unix.O_RDWR, 0)
				f.call(0, request{Op: "pwrite", Data: []byte("xy")})
				r.call(0, req("chmod", "f", 0o6777))
				f.call(0, request{Op: "copy_file_range", A: int64(f.fd), B: 0, C: 1, Data: make([]byte, 1)})
				f.close()
			},
			"chown": func() { r.call(0, req("chown", "f", int64(alice.UID), int64(alice.GID))) },
		} {
			reset()
			change()
			if got := r.mode("f"); got != 0o777 {
				t.Errorf("%s leaves mode %o", what, got)
			}
		}
		reset()
		b.open("f", unix.O_WRONLY, 0).close()
		f := r.open("f", unix.O_WRONLY, 0)
		f.call(0, request{Op: "pwrite", Data: []byte("x")})
		f.close()
		r.wantMode("f", 0o6777)
		r.call(0, req("chmod", "f", 0o2666)) // setgid without execution is no privilege
		f = b.open("f", unix.O_WRONLY, 0)
		f.call(0, request{Op: "pwrite", Data: []byte("x")})
		f.close()
		a.call(0, req("chmod", "f", 0o4755))
		r.call(0, request{Op: "setxattr", Path: "f", Path2: "security.capability", Data: []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")})
		f = a.open("f", unix.O_WRONLY, 0)
		f.call(0, request{Op: "pwrite", Data: []byte("x")})
		f.close()
		r.call(unix.ENODATA, request{Op: "getxattr", Path: "f", Path2: "security.capability"})
		// Who is not in the group of a file cannot make it setgid.
		r.call(0, req("chown", "f", int64(alice.UID), int64(bob.GID)))
		a.call(0, req("chmod", "f", 0o2755))
		r.wantMode("f", 0o755)
	})
}

// aclEntry is one line of an access control list.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

const (
	aclUserObj, aclUser, aclGroupObj, aclGroup, aclMask, aclOther = 1, 2, 4, 8, 16, 32

	nobody = 1<<32 - 1
)

func aclBytes(entries ...aclEntry) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// acl(5): lists let in whom they name, as far as the mask allows, and follow chmod.
func TestAccessControlLists(t *testing.T) {
	everywhere(t, func(w *world) {
		a, b, c := w.as(alice), w.as(bob), w.as(carol)
		a.create("f", 0o640)
		list := aclBytes(aclEntry{aclUserObj, 6, nobody}, aclEntry{aclUser, 6, uint32(bob.UID)}, aclEntry{aclGroupObj, 4, nobody},
			aclEntry{aclGroup, 4, uint32(bob.GID)}, aclEntry{aclMask, 6, nobody}, aclEntry{aclOther, 0, nobody})
		b.call(unix.EPERM, request{Op: "setxattr", Path: "f", Path2: aclAccess, Data: list})
		a.call(0, request{Op: "setxattr", Path: "f", Path2: aclAccess, Data: list})
		a.wantMode("f", 0o660) // the group's bits are the mask
		b.call(0, req("access", "f", 6))
		c.call(0, req("access", "f", 4))
		c.call(unix.EACCES, req("access", "f", 2))
		a.call(0, req("chmod", "f", 0o640))
		b.call(0, req("access", "f", 4))
		b.call(unix.EACCES, req("access", "f", 2))
		if got := a.call(0, request{Op: "getxattr", Path: "f", Path2: aclAccess}); string(got.Data) == string(list) || len(got.Data) != len(list) {
			t.Errorf("the list does not follow chmod: %x", got.Data)
		}
		a.call(unix.EINVAL, request{Op: "setxattr", Path: "f", Path2: aclAccess, Data: list[:len(list)-8]})
		a.call(unix.EACCES, request{Op: "setxattr", Path: "f", Path2: aclDefault, Data: list})
		a.call(0, request{Op: "removexattr", Path: "f", Path2: aclAccess})
		b.call(unix.EACCES, req("access", "f", 4))
		c.call(0, req("access", "f", 4))
	})
}

// acl(5): what is made in a directory with a default list inherits it in place of the umask.
func TestDefaultLists(t *testing.T) {
	everywhere(t, func(w *world) {
		a := w.as(alice)
		for n := range mounts {
			w.at(n, alice).call(0, req("umask", "", 0o077))
		}
		a.call(0, req("mkdir", "d", 0o755))
		list := aclBytes(aclEntry{aclUserObj, 7, nobody}, aclEntry{aclUser, 7, uint32(bob.UID)}, aclEntry{aclGroupObj, 5, nobody},
			aclEntry{aclMask, 7, nobody}, aclEntry{aclOther, 5, nobody})
		a.call(0, request{Op: "setxattr", Path: "d", Path2: aclDefault, Data: list})
		a.create("d/f", 0o666)
		a.call(0, req("mkdir", "d/sub", 0o777))
		a.create("d/sub/f", 0o600)
		for path, want := range map[string]uint32{"d/f": 0o664, "d/sub": 0o775, "d/sub/f": 0o600} {
			a.wantMode(path, want)
		}
		b := w.as(bob)
		b.call(unix.EACCES, req("access", "d/f", 1))
		a.call(0, req("chmod", "d", 0o755))
		b.call(0, req("access", "d/f", 6))
		b.call(unix.EACCES, req("access", "d/sub/f", 4))
		if got := a.call(0, request{Op: "getxattr", Path: "d/sub", Path2: aclDefault}); string(got.Data) != string(list) {
			t.Errorf("a directory below has the default list %x", got.Data)
		}
		a.call(unix.ENODATA, request{Op: "getxattr", Path: "d/f", Path2: aclDefault})
	})
}

// xattr(7): flags, lists, sizes, and who may.
func TestExtendedAttributes(t *testing.T) {
	everywhere(t, func(w *world) {
		a, b := w.as(alice), w.as(bob)
		a.create("f", 0o644)
		set := func(c *actor, want syscall.Errno, name string, size int, flags int64) {
			w.Helper()
			c.call(want, request{Op: "setxattr", Path: "f", Path2: name, Data: make([]byte, size), A: flags})
		}
		set(a, unix.ENODATA, "user.a", 1, unix.XATTR_REPLACE)
		set(a, 0, "user.a", 1, unix.XATTR_CREATE)
		set(a, unix.EEXIST, "user.a", 1, unix.XATTR_CREATE)
		set(a, 0, "user.a", 0, unix.XATTR_REPLACE)
		if got := a.call(0, request{Op: "getxattr", Path: "f", Path2: "user.a"}); got.N != 0 {
			t.Errorf("%d bytes", got.N)
		}
		set(a, 0, "user.big", 1<<16, 0)
		if got := b.call(0, request{Op: "getxattr", Path: "f", Path2: "user.big"}); got.N != 1<<16 {
			t.Errorf("%d bytes", got.N)
		}
		set(a, unix.E2BIG, "user.big", 1<<16+1, 0)
		set(a, unix.ERANGE, "user."+fmt.Sprintf("%0251d", 1), 1, 0)
		set(a, 0, "user."+fmt.Sprintf("%0250d", 1), 1, 0)
		set(b, unix.EACCES, "user.b", 1, 0)
		set(a, unix.EPERM, "trusted.a", 1, 0)
		set(w.as(root), 0, "trusted.a", 1, 0)
		set(a, unix.EOPNOTSUPP, "other.a", 1, 0)
		a.call(unix.ENODATA, request{Op: "getxattr", Path: "f", Path2: "user.none"})
		a.call(unix.ENODATA, request{Op: "removexattr", Path: "f", Path2: "user.none"})
		a.call(0, request{Op: "removexattr", Path: "f", Path2: "user.big"})
		if got := w.as(root).call(0, req("listxattr", "f")).Names; len(got) != 3 {
			t.Errorf("attributes %q", got)
		}
	})
}
