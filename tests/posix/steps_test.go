package posix

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dfs/tests/posix/model"
)

// stepper makes the steps of a program in an agent, and has what they leave open.
type stepper struct {
	open [model.Slots]*os.File
}

var steps stepper

// run makes one step.
func (p *stepper) run(s model.Step) model.Answer {
	text, err := p.do(s)
	if err != nil {
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			errno = syscall.EPROTO
		}
		return model.Answer{Errno: errno}
	}
	return model.Answer{Text: text}
}

func openFile(path string, flags int, mode uint32) (*os.File, error) {
	fd, err := unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (p *stepper) do(s model.Step) (string, error) {
	switch s.Op {
	case "create":
		f, err := openFile(s.Path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, uint32(s.Arg))
		if err != nil {
			return "", err
		}
		return "", f.Close()
	case "mkdir":
		return "", unix.Mkdir(s.Path, uint32(s.Arg))
	case "symlink":
		return "", unix.Symlink("nowhere", s.Path)
	case "rmdir":
		return "", unix.Rmdir(s.Path)
	case "unlink":
		return "", unix.Unlink(s.Path)
	case "link":
		return "", unix.Link(s.Path, s.Path2)
	case "rename":
		return "", unix.Renameat2(unix.AT_FDCWD, s.Path, unix.AT_FDCWD, s.Path2, uint(s.Arg))
	case "chmod":
		return "", unix.Chmod(s.Path, uint32(s.Arg))
	case "open", "close", "swrite", "sread", "sstat", "struncate":
		return p.slot(s)
	case "copy":
		return copyRange(s)
	case "setxattr", "getxattr", "removexattr", "listxattr":
		return attribute(s)
	case "stat", "list", "readlink", "read", "holes":
		return ask(s)
	}
	f, err := openFile(s.Path, unix.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	return "", errors.Join(change(f, s), f.Close())
}

// change is what steps do to contents.
func change(f *os.File, s model.Step) error {
	fd := int(f.Fd())
	switch s.Op {
	case "write", "swrite":
		_, err := f.WriteAt(s.Data(), s.Off)
		return err
	case "append":
		g, err := openFile(f.Name(), unix.O_WRONLY|unix.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = g.Write(s.Data())
		return errors.Join(err, g.Close())
	case "truncate", "struncate":
		return unix.Ftruncate(fd, s.Len)
	case "punch":
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, s.Off, s.Len)
	case "zero":
		return unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, s.Off, s.Len)
	case "allocate":
		return unix.Fallocate(fd, 0, s.Off, s.Len)
	}
	return syscall.EPROTO
}

func (p *stepper) slot(s model.Step) (string, error) {
	f := p.open[s.Slot]
	switch {
	case s.Op == "open" && f != nil:
		return "", syscall.EBUSY
	case s.Op == "open":
		f, err := openFile(s.Path, unix.O_RDWR, 0)
		p.open[s.Slot] = f
		return "", err
	case f == nil:
		return "", syscall.EBADF
	}
	switch s.Op {
	case "close":
		p.open[s.Slot] = nil
		return "", f.Close()
	case "sread":
		return readAll(f)
	case "sstat":
		return statOf(func(st *unix.Stat_t) error { return unix.Fstat(int(f.Fd()), st) })
	}
	err := change(f, s)
	// Other mounts see a write when the file is closed, or when somebody here asks for the attributes.
	_, statErr := f.Stat()
	return "", errors.Join(err, statErr)
}

func statOf(stat func(st *unix.Stat_t) error) (string, error) {
	var st unix.Stat_t
	if err := stat(&st); err != nil {
		return "", err
	}
	kinds := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "symlink"}
	return model.Stat(kinds[st.Mode&unix.S_IFMT], int64(st.Mode&0o7777), int(st.Nlink), st.Size), nil
}

func readAll(f *os.File) (string, error) {
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Pread(int(f.Fd()), buf, int64(len(all)))
		if err != nil {
			return "", err
		}
		if n == 0 {
			return model.Sum(all), nil
		}
		all = append(all, buf[:n]...)
	}
}

// readData reads what is not in holes.
func readData(f *os.File) (string, error) {
	size, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_END)
	if err != nil {
		return "", err
	}
	all := make([]byte, size)
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == syscall.ENXIO {
			break
		}
		if err != nil {
			return "", err
		}
		if at, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE); err != nil {
			return "", err
		}
		if _, err := unix.Pread(int(f.Fd()), all[data:at], data); err != nil {
			return "", err
		}
	}
	return model.Sum(all), nil
}

func copyRange(s model.Step) (string, error) {
	from, err := openFile(s.Path, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := openFile(s.Path2, unix.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer to.Close()
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(int(from.Fd()), &a), unix.Fstat(int(to.Fd()), &b)); err != nil {
		return "", err
	}
	if a.Mode&unix.S_IFMT == unix.S_IFREG && a.Ino == b.Ino {
		return "", syscall.ETXTBSY
	}
	off, off2, done := s.Off, 2*s.Off, 0
	for done < int(s.Len) {
		n, err := unix.CopyFileRange(int(from.Fd()), &off, int(to.Fd()), &off2, int(s.Len)-done, 0)
		if err != nil {
			return "", err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return itoa(done), nil
}

func attribute(s model.Step) (string, error) {
	name := model.XattrName(s)
	buf := make([]byte, 4096)
	switch s.Op {
	case "setxattr":
		return "", unix.Lsetxattr(s.Path, name, []byte(model.Sum(s.Data())), 0)
	case "removexattr":
		return "", unix.Lremovexattr(s.Path, name)
	case "getxattr":
		n, err := unix.Lgetxattr(s.Path, name, buf)
		return string(buf[:max(n, 0)]), err
	}
	n, err := unix.Llistxattr(s.Path, buf)
	names := strings.Fields(strings.ReplaceAll(string(buf[:max(n, 0)]), "\x00", " "))
	slices.Sort(names)
	return strings.Join(names, " "), err
}

func ask(s model.Step) (string, error) {
	switch s.Op {
	case "stat":
		return statOf(func(st *unix.Stat_t) error { return unix.Lstat(s.Path, st) })
	case "readlink":
		buf := make([]byte, 100)
		n, err := unix.Readlink(s.Path, buf)
		return string(buf[:max(n, 0)]), err
	case "list":
		entries, err := os.ReadDir(s.Path)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " "), err
	}
	f, err := openFile(s.Path, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if s.Op == "holes" {
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return "", syscall.EISDIR
		}
		return readData(f)
	}
	return readAll(f)
}
