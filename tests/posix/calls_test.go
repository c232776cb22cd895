package posix

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls are the system calls that an agent can make, by name.
var calls = map[string]func(r *request, out *reply) error{
	"step": func(r *request, out *reply) error {
		got := steps.run(r.Step)
		out.Data = []byte(got.Text)
		if got.Errno != 0 {
			return got.Errno
		}
		return nil
	},
	"closeall": func(*request, *reply) error {
		for i, f := range steps.open {
			if f != nil {
				f.Close()
				steps.open[i] = nil
			}
		}
		return nil
	},
	"crowd": func(r *request, out *reply) error {
		if err := crowd(r.Path, r.Path2, int(r.A)); err != nil {
			out.Data = []byte(err.Error())
		}
		return nil
	},
	"coherence": func(r *request, out *reply) error {
		if err := coherence(strings.Split(r.Path, "\n"), int(r.A)); err != nil {
			out.Data = []byte(err.Error())
		}
		return nil
	},
	"fsx": func(r *request, out *reply) error {
		if err := runFsx(strings.Split(r.Path, "\n"), int(r.A), uint64(r.B), r.C != 0); err != nil {
			out.Data = []byte(err.Error())
		}
		return nil
	},
	"nop": func(*request, *reply) error { return nil },
	"open": func(r *request, out *reply) error {
		fd, err := unix.Open(r.Path, int(r.A)|unix.O_CLOEXEC, uint32(r.B))
		out.N = int64(fd)
		return err
	},
	"close": func(r *request, _ *reply) error { return unix.Close(r.FD) },
	"dup": func(r *request, out *reply) error {
		fd, err := unix.FcntlInt(uintptr(r.FD), unix.F_DUPFD_CLOEXEC, 0)
		out.N = int64(fd)
		return err
	},
	"pread": func(r *request, out *reply) error {
		out.Data = make([]byte, r.A)
		n, err := unix.Pread(r.FD, out.Data, r.B)
		out.Data, out.N = out.Data[:max(n, 0)], int64(n)
		return err
	},
	"pwrite": func(r *request, out *reply) error {
		n, err := unix.Pwrite(r.FD, r.Data, r.A)
		out.N = int64(n)
		return err
	},
	"write": func(r *request, out *reply) error {
		n, err := unix.Write(r.FD, r.Data)
		out.N = int64(n)
		return err
	},
	"seek": func(r *request, out *reply) (err error) {
		out.N, err = unix.Seek(r.FD, r.A, int(r.B))
		return err
	},
	"truncate":  func(r *request, _ *reply) error { return unix.Truncate(r.Path, r.A) },
	"ftruncate": func(r *request, _ *reply) error { return unix.Ftruncate(r.FD, r.A) },
	"fallocate": func(r *request, _ *reply) error { return unix.Fallocate(r.FD, uint32(r.C), r.A, r.B) },
	"fsync":     func(r *request, _ *reply) error { return unix.Fsync(r.FD) },
	"copy_file_range": func(r *request, out *reply) error { // from FD at B to A at C, as much as the data is long
		from, to := r.B, r.C
		n, err := unix.CopyFileRange(r.FD, &from, int(r.A), &to, len(r.Data), 0)
		out.N = int64(n)
		return err
	},
	"mkdir":   func(r *request, _ *reply) error { return unix.Mkdir(r.Path, uint32(r.A)) },
	"rmdir":   func(r *request, _ *reply) error { return unix.Rmdir(r.Path) },
	"unlink":  func(r *request, _ *reply) error { return unix.Unlink(r.Path) },
	"symlink": func(r *request, _ *reply) error { return unix.Symlink(r.Path2, r.Path) },
	"mknod":   func(r *request, _ *reply) error { return unix.Mknod(r.Path, uint32(r.A), int(r.B)) },
	"link": func(r *request, _ *reply) error {
		return unix.Linkat(unix.AT_FDCWD, r.Path, unix.AT_FDCWD, r.Path2, int(r.A))
	},
	"linkfd": func(r *request, _ *reply) error {
		return unix.Linkat(r.FD, "", unix.AT_FDCWD, r.Path, unix.AT_EMPTY_PATH)
	},
	"linkproc": func(r *request, _ *reply) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", r.FD), unix.AT_FDCWD, r.Path, unix.AT_SYMLINK_FOLLOW)
	},
	"rename": func(r *request, _ *reply) error {
		return unix.Renameat2(unix.AT_FDCWD, r.Path, unix.AT_FDCWD, r.Path2, uint(r.A))
	},
	"readlink": readlink,
	"chmod":    func(r *request, _ *reply) error { return unix.Chmod(r.Path, uint32(r.A)) },
	"fchmod":   func(r *request, _ *reply) error { return unix.Fchmod(r.FD, uint32(r.A)) },
	"chown":    func(r *request, _ *reply) error { return unix.Chown(r.Path, int(r.A), int(r.B)) },
	"lchown":   func(r *request, _ *reply) error { return unix.Lchown(r.Path, int(r.A), int(r.B)) },
	"fchown":   func(r *request, _ *reply) error { return unix.Fchown(r.FD, int(r.A), int(r.B)) },
	"utimes": func(r *request, _ *reply) error { // A atime, B mtime, in nanoseconds or the constants; C flags
		ts := []unix.Timespec{timespec(r.A), timespec(r.B)}
		return unix.UtimesNanoAt(unix.AT_FDCWD, r.Path, ts, int(r.C))
	},
	"stat": func(r *request, out *reply) error {
		return unix.Statx(unix.AT_FDCWD, r.Path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &out.Stat)
	},
	"fstat": func(r *request, out *reply) error {
		return unix.Statx(r.FD, "", unix.AT_EMPTY_PATH, unix.STATX_ALL, &out.Stat)
	},
	"access": func(r *request, _ *reply) error {
		return unix.Faccessat2(unix.AT_FDCWD, r.Path, uint32(r.A), unix.AT_EACCESS)
	},
	"chdir": func(r *request, _ *reply) error { return unix.Chdir(r.Path) },
	"umask": func(r *request, _ *reply) error { unix.Umask(int(r.A)); return nil },
	"list":  list,
	"setxattr": func(r *request, _ *reply) error {
		return unix.Lsetxattr(r.Path, r.Path2, r.Data, int(r.A))
	},
	"getxattr": func(r *request, out *reply) error {
		out.Data = make([]byte, 1<<16)
		n, err := unix.Lgetxattr(r.Path, r.Path2, out.Data)
		out.Data, out.N = out.Data[:max(n, 0)], int64(n)
		return err
	},
	"removexattr": func(r *request, _ *reply) error { return unix.Lremovexattr(r.Path, r.Path2) },
	"listxattr": func(r *request, out *reply) error {
		buf := make([]byte, 1<<16)
		n, err := unix.Llistxattr(r.Path, buf)
		for _, name := range bytes.Split(bytes.TrimSuffix(buf[:max(n, 0)], []byte{0}), []byte{0}) {
			if len(name) > 0 {
				out.Names = append(out.Names, string(name))
			}
		}
		return err
	},
	"lock":  lockRange,
	"flock": func(r *request, _ *reply) error { return unix.Flock(r.FD, int(r.A)) },
	"mmapread": func(r *request, out *reply) error { // A bytes at page B
		return mapped(r, unix.PROT_READ, func(m []byte) { out.Data = bytes.Clone(m[r.C:]) })
	},
	"mmapwrite": func(r *request, _ *reply) error { // the data, at C of a mapping of A bytes at B
		return mapped(r, unix.PROT_READ|unix.PROT_WRITE, func(m []byte) { copy(m[r.C:], r.Data) })
	},
	"fsize": func(r *request, _ *reply) error { // RLIMIT_FSIZE
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(r.A), Max: unix.RLIM_INFINITY})
	},
}

func timespec(ns int64) unix.Timespec {
	if ns == unix.UTIME_NOW || ns == unix.UTIME_OMIT {
		return unix.Timespec{Nsec: ns}
	}
	sec, nsec := ns/1e9, ns%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	return unix.Timespec{Sec: sec, Nsec: nsec}
}

func readlink(r *request, out *reply) error {
	buf := make([]byte, 1<<13)
	n, err := unix.Readlink(r.Path, buf)
	out.Data = buf[:max(n, 0)]
	return err
}

func list(r *request, out *reply) error {
	entries, err := os.ReadDir(r.Path)
	for _, e := range entries {
		out.Names = append(out.Names, e.Name())
	}
	return err
}

// lockRange is fcntl(2) with the command A, for a lock of type B on the bytes of the struct in Data.
func lockRange(r *request, out *reply) error {
	out.Lock = *(*unix.Flock_t)(unsafe.Pointer(&r.Data[0]))
	for {
		err := unix.FcntlFlock(uintptr(r.FD), int(r.A), &out.Lock)
		if err != syscall.EINTR { // a signal of the runtime
			return err
		}
	}
}

// mapped maps A bytes at B of a file for a moment.
func mapped(r *request, prot int, fn func(m []byte)) error {
	m, err := unix.Mmap(r.FD, r.B, int(r.A), prot, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	fn(m)
	if prot&unix.PROT_WRITE != 0 {
		if err := unix.Msync(m, unix.MS_SYNC); err != nil {
			return err
		}
	}
	return unix.Munmap(m)
}
