package posix

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func nanos(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// Which times each call moves: of the file f, of its directory d, and of e, where something is moved to. m and c are
// the modification and the change; everything else stays.
func TestTimes(t *testing.T) {
	everywhere(t, func(w *world) {
		a := w.as(alice)
		for _, c := range []struct {
			name    string
			f, d, e string
			do      func()
		}{
			{"read", "", "", "", func() { h := a.open("d/f", unix.O_RDONLY, 0); h.want(0, "text"); h.close() }},
			{"write", "mc", "", "", func() { h := a.open("d/f", unix.O_WRONLY, 0); h.write(1, "x"); h.close() }},
			{"truncate", "mc", "", "", func() { a.call(0, req("truncate", "d/f", 2)) }},
			{"truncate longer", "mc", "", "", func() { a.call(0, req("truncate", "d/f", 9)) }},
			{"O_TRUNC", "mc", "", "", func() { a.open("d/f", unix.O_WRONLY|unix.O_TRUNC, 0).close() }},
			{"fallocate", "mc", "", "", func() { h := a.open("d/f", unix.O_WRONLY, 0); h.call(0, req("fallocate", "", 0, 100, 0)); h.close() }},
			{"chmod", "c", "", "", func() { a.call(0, req("chmod", "d/f", 0o600)) }},
			{"chown", "c", "", "", func() { a.call(0, req("chown", "d/f", int64(alice.UID), int64(alice.GID))) }},
			{"setxattr", "c", "", "", func() { a.call(0, request{Op: "setxattr", Path: "d/f", Path2: "user.a"}) }},
			{"link", "c", "", "mc", func() { a.call(0, request{Op: "link", Path: "d/f", Path2: "e/l"}) }},
			{"rename", "c", "mc", "mc", func() { a.call(0, request{Op: "rename", Path: "d/f", Path2: "e/f"}) }},
			{"rename back", "c", "mc", "mc", func() { a.call(0, request{Op: "rename", Path: "e/f", Path2: "d/f"}) }},
			{"creat", "", "mc", "", func() { a.create("d/new", 0o600) }},
			{"mkdir", "", "mc", "", func() { a.call(0, req("mkdir", "d/dir", 0o700)) }},
			{"mknod", "", "mc", "", func() { a.call(0, req("mknod", "d/fifo", unix.S_IFIFO|0o600)) }},
			{"symlink", "", "mc", "", func() { a.call(0, request{Op: "symlink", Path: "d/sym", Path2: "x"}) }},
			{"rmdir", "", "mc", "", func() { a.call(0, req("rmdir", "d/dir")) }},
			{"unlink", "", "mc", "", func() { a.call(0, req("unlink", "d/new")) }},
			{"unlink a link", "c", "", "mc", func() { a.call(0, req("unlink", "e/l")) }},
			{"failing calls", "", "", "", func() {
				a.call(unix.EEXIST, req("mkdir", "d/f", 0o700))
				a.call(unix.ENOENT, req("unlink", "d/none"))
				a.call(unix.ENOTDIR, req("rmdir", "d/f"))
				a.call(unix.EINVAL, req("truncate", "d/f", -1))
				w.as(bob).call(unix.EPERM, req("chmod", "d/f", 0o777))
			}},
		} {
			if c.name == "read" {
				a.call(0, req("mkdir", "d", 0o755))
				a.call(0, req("mkdir", "e", 0o755))
				a.create("d/f", 0o644)
				h := a.open("d/f", unix.O_WRONLY, 0)
				h.write(0, "text")
				h.close()
			}
			paths := [3]string{"d/f", "d", "e"}
			if c.name == "rename back" {
				paths[0] = "e/f"
			}
			var before [3]unix.Statx_t
			for i, p := range paths {
				before[i] = a.stat(p)
			}
			pause()
			c.do()
			if c.name == "rename" || c.name == "rename back" {
				paths[0] = map[string]string{"rename": "e/f", "rename back": "d/f"}[c.name]
			}
			for i, p := range paths {
				after, moved := a.stat(p), ""
				if nanos(after.Mtime) > nanos(before[i].Mtime) {
					moved += "m"
				}
				if nanos(after.Ctime) > nanos(before[i].Ctime) {
					moved += "c"
				}
				if want := [3]string{c.f, c.d, c.e}[i]; moved != want {
					t.Errorf("%s moves %q of %s, want %q", c.name, moved, p, want)
				}
				if after.Btime != before[i].Btime || after.Mask&unix.STATX_BTIME == 0 {
					t.Errorf("%s: the birth of %s is %v, was %v", c.name, p, after.Btime, before[i].Btime)
				}
			}
		}
	})
}

// utimensat(2): nanoseconds, times before 1970 and after 2038, now and omitted; and all times of what is new are now.
func TestUtimens(t *testing.T) {
	everywhere(t, func(w *world) {
		a := w.as(alice)
		start := time.Now()
		a.create("f", 0o644)
		st := a.stat("f")
		for _, at := range []unix.StatxTimestamp{st.Atime, st.Mtime, st.Ctime, st.Btime} {
			if d := time.Unix(0, nanos(at)).Sub(start); d < -time.Second || d > 10*time.Second || at != st.Btime {
				t.Errorf("a new file has the times %v", st)
			}
		}
		a.call(0, request{Op: "symlink", Path: "s", Path2: "f"})
		a.call(0, req("mkdir", "d", 0o755))
		for _, path := range []string{"f", "s", "d"} {
			for _, at := range []int64{1, 1e9 + 123456789, -5e9 + 7, 1 << 62, 4e18} {
				a.call(0, req("utimes", path, at, at+1, unix.AT_SYMLINK_NOFOLLOW))
				if st := a.stat(path); nanos(st.Atime) != at || nanos(st.Mtime) != at+1 {
					t.Errorf("%s: times %d and %d, want %d", path, nanos(st.Atime), nanos(st.Mtime), at)
				}
			}
			a.call(0, req("utimes", path, unix.UTIME_OMIT, 77, unix.AT_SYMLINK_NOFOLLOW))
			if st := a.stat(path); nanos(st.Atime) != 4e18 || nanos(st.Mtime) != 77 {
				t.Errorf("%s: one omitted: times %d and %d", path, nanos(st.Atime), nanos(st.Mtime))
			}
			a.call(0, req("utimes", path, unix.UTIME_NOW, unix.UTIME_OMIT, unix.AT_SYMLINK_NOFOLLOW))
			if st := a.stat(path); nanos(st.Atime) < start.UnixNano()-1e9 || nanos(st.Atime) > 1<<62 || nanos(st.Mtime) != 77 {
				t.Errorf("%s: now and omitted: times %d and %d", path, nanos(st.Atime), nanos(st.Mtime))
			}
		}
	})
}
