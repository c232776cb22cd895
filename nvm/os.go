package nvm

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"dfs/errs"
)

// maxParts is how many parts one pwritev takes (IOV_MAX).
const maxParts = 1024

// maxPiece is about how many bytes one pwritev takes. The kernel takes a folio as large as the write into its page
// cache, and in a virtual machine that gives free memory back to its host, the largest blocks are those that
// the host has taken: writes of 2 MiB and more then cost ten times as much as these.
const maxPiece = 512 << 10

type osDir struct{ path string }

// OpenOS opens a directory of the operating system, and makes it if it is missing; its parent must
// exist.
func OpenOS(path string) (Dir, error) {
	switch err := os.Mkdir(path, 0o700); {
	case err == nil:
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrExist):
		return nil, failed(err, "make directory", path)
	}
	switch info, err := os.Stat(path); {
	case err != nil:
		return nil, failed(err, "open", path)
	case !info.IsDir():
		return nil, errs.New(errs.NotDirectory, "%s is not a directory", path)
	}
	return &osDir{path}, nil
}

// failed gives an error of the operating system its kind and the name of the file.
func failed(err error, verb, path string) error {
	kind := errs.IO
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		kind = errs.NoSpace
	case errors.Is(err, fs.ErrNotExist):
		kind = errs.NotFound
	case errors.Is(err, fs.ErrExist):
		kind = errs.Exists
	}
	// The cause without the path, which os puts into it too.
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return errs.Wrap(kind, err, "%s %s", verb, path)
}

func (d *osDir) String() string { return d.path }

func (d *osDir) Create(name string, size int64) (File, error) {
	path := filepath.Join(d.path, name)
	// os.OpenFile sets O_CLOEXEC.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, failed(err, "create", path)
	}
	if err := reserve(f, size); err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, failed(err, "reserve space for", path)
	}
	return &osFile{File: f, size: size}, nil
}

// reserve makes f size bytes long, with space on disk behind it where the file system can.
func reserve(f *os.File, size int64) error {
	err := control(f, func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		// Full disks then show up in WriteAt.
		return f.Truncate(size)
	}
	return err
}

// control calls fn with the descriptor, which stays open meanwhile, until no signal interrupts it.
func control(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) {
		for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
			err = fn(int(fd))
		}
	}); cerr != nil {
		return cerr
	}
	return err
}

func (d *osDir) Open(name string) (File, error) {
	f, err := d.open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	// Twice as much is read ahead then, in large blocks; small reads here and there are not affected. It is advice:
	// that it was not taken is no error.
	_ = control(f.File, func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL) })
	return f, nil
}

func (d *osDir) OpenWrite(name string, size int64) (File, error) {
	f, err := d.open(name, os.O_RDWR, size)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *osDir) open(name string, flag int, size int64) (*osFile, error) {
	path := filepath.Join(d.path, name)
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, failed(err, "open", path)
	}
	info, err := f.Stat()
	if err == nil && info.Size() < size {
		err = reserve(f, size)
	}
	if err != nil {
		_ = f.Close()
		return nil, failed(err, "open", path)
	}
	return &osFile{File: f, size: max(info.Size(), size)}, nil
}

func (d *osDir) List() ([]Entry, error) {
	found, err := os.ReadDir(d.path) // sorted
	if err != nil {
		return nil, failed(err, "list", d.path)
	}
	var all []Entry
	for _, e := range found {
		if !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, failed(err, "list", d.path)
		}
		all = append(all, Entry{Name: e.Name(), Size: info.Size()})
	}
	return all, nil
}

func (d *osDir) Remove(name string) error {
	path := filepath.Join(d.path, name)
	if err := os.Remove(path); err != nil {
		return failed(err, "remove", path)
	}
	return nil
}

func (d *osDir) Sync() error { return syncDir(d.path) }

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return failed(err, "open", path)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return failed(err, "sync", path)
	}
	return nil
}

type osFile struct {
	*os.File
	size int64
}

func (f *osFile) String() string { return f.Name() }

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = failed(err, "read", f.Name())
	}
	return n, err
}

func (f *osFile) WriteAt(off int64, parts ...[]byte) error {
	if n := total(parts); off < 0 || off+n > f.size {
		return errs.New(errs.Invalid, "write %s: %d bytes at %d are outside of its %d", f.Name(), n, off, f.size)
	}
	err := control(f.File, func(fd int) error {
		for len(parts) > 0 {
			n, err := unix.Pwritev(fd, cut(parts), off)
			if err != nil {
				return err
			}
			off += int64(n)
			parts = skip(parts, n)
		}
		return nil
	})
	if err != nil {
		return failed(err, "write", f.Name())
	}
	return nil
}

// cut returns what one system call writes of parts: at most maxParts, and about maxPiece bytes.
func cut(parts [][]byte) [][]byte {
	size := 0
	for i, p := range parts {
		if i == maxParts {
			return parts[:i]
		}
		if size += len(p); size > maxPiece {
			if over := size - maxPiece; over > maxPiece/4 {
				last := p[: len(p)-over : len(p)-over]
				return append(parts[:i:i], last)
			}
			return parts[:i+1]
		}
	}
	return parts
}

// skip returns parts without their first n bytes, and without empty parts in front.
func skip(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		rest := append([][]byte{parts[0][n:]}, parts[1:]...)
		return rest
	}
	return parts
}

func (f *osFile) Persist() error {
	if err := control(f.File, unix.Fdatasync); err != nil {
		return failed(err, "persist", f.Name())
	}
	return nil
}

func (f *osFile) Close() error {
	if err := f.File.Close(); err != nil {
		return failed(err, "close", f.Name())
	}
	return nil
}
