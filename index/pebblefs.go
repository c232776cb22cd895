package index

import (
	"errors"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"dfs/errs"
)

// stoppableFS is the file system under Pebble. When the disk fails, or is full, Pebble tries again at
// once and for ever, lets commits wait meanwhile, or ends the process. The replica has to leave in
// order instead. So at the first failure the disk is left as it is, as after a crash: what Pebble
// writes from then on goes to memory and what it removes stays. Pebble works on, Apply reports the
// failure, and nothing hangs.
type stoppableFS struct {
	vfs.FS
	beforeFlush func() error
	err         atomic.Pointer[error]
	memory      *vfs.MemFS // of files made after the failure
}

// flushCategory is what Pebble says it writes when it writes out a memtable.
const flushCategory = "pebble-memtable-flush"

func newStoppableFS(fs vfs.FS, beforeFlush func() error) *stoppableFS {
	return &stoppableFS{FS: fs, beforeFlush: beforeFlush, memory: vfs.NewMem()}
}

// Err returns the first failure.
func (fs *stoppableFS) Err() error {
	if p := fs.err.Load(); p != nil {
		return *p
	}
	return nil
}

func (fs *stoppableFS) stop(err error) { fs.err.CompareAndSwap(nil, &err) }

// do changes the disk, unless it is given up. The only error it returns is that a file is not there,
// which is no failure of the disk.
func (fs *stoppableFS) do(what string, change func() error) error {
	if fs.Err() != nil {
		return nil
	}
	err := change()
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return err
	}
	fs.stop(kindOf(err, what))
	return nil
}

// Create makes a file. The first file of a flush waits for the log (X7).
func (fs *stoppableFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == flushCategory && fs.beforeFlush != nil && fs.Err() == nil {
		if err := fs.beforeFlush(); err != nil {
			fs.stop(errs.Wrap(errs.KindOf(err), err, "index: the log cannot be made durable"))
		}
	}
	return fs.open(name, "create ", func() (vfs.File, error) { return fs.FS.Create(name, category) })
}

// OpenReadWrite opens a file for writing.
func (fs *stoppableFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.open(name, "open ", func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite makes a file of another one.
func (fs *stoppableFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.open(newname, "reuse ", func() (vfs.File, error) { return fs.FS.ReuseForWrite(oldname, newname, category) })
}

// open opens a file for writing: on disk, or after the failure in memory.
func (fs *stoppableFS) open(name, verb string, open func() (vfs.File, error)) (f vfs.File, err error) {
	err = fs.do(verb+name, func() error { f, err = open(); return err })
	switch {
	case err != nil:
		return nil, err
	case fs.Err() == nil:
		return &stoppableFile{File: f, fs: fs, name: name}, nil
	}
	if err := fs.memory.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return fs.memory.Create(name, vfs.WriteCategoryUnspecified)
}

// Open opens a file for reading.
func (fs *stoppableFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if fs.Err() != nil {
		if f, err := fs.memory.Open(name, opts...); err == nil {
			return f, nil
		}
	}
	return fs.FS.Open(name, opts...)
}

// OpenDir opens a directory for syncing.
func (fs *stoppableFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &stoppableFile{File: f, fs: fs, name: name}, nil
}

// Remove removes a file.
func (fs *stoppableFS) Remove(name string) error {
	return fs.do("remove "+name, func() error { return fs.FS.Remove(name) })
}

// Rename renames a file.
func (fs *stoppableFS) Rename(oldname, newname string) error {
	return fs.do("rename "+oldname, func() error { return fs.FS.Rename(oldname, newname) })
}

// Link makes a second name of a file.
func (fs *stoppableFS) Link(oldname, newname string) error {
	return fs.do("link "+oldname, func() error { return fs.FS.Link(oldname, newname) })
}

// Stat describes a file.
func (fs *stoppableFS) Stat(name string) (vfs.FileInfo, error) {
	if fs.Err() != nil {
		if info, err := fs.memory.Stat(name); err == nil {
			return info, nil
		}
	}
	return fs.FS.Stat(name)
}

// Unwrap returns the file system below.
func (fs *stoppableFS) Unwrap() vfs.FS { return fs.FS }

// stoppableFile is a file or directory on disk that is open for writing.
type stoppableFile struct {
	vfs.File
	fs   *stoppableFS
	name string
}

// result is what Pebble is told. Of a table it is told the truth: it makes another one, in memory. Of
// anything else it believes that it was written.
func (f *stoppableFile) result() error {
	if strings.HasSuffix(f.name, ".sst") {
		return f.fs.Err()
	}
	return nil
}

func (f *stoppableFile) do(verb string, change func() error) error {
	if err := f.fs.do(verb+f.name, change); err != nil {
		return err
	}
	return f.result()
}

func (f *stoppableFile) Write(p []byte) (int, error) {
	return len(p), f.do("write ", func() error { _, err := f.File.Write(p); return err })
}

func (f *stoppableFile) WriteAt(p []byte, off int64) (int, error) {
	return len(p), f.do("write ", func() error { _, err := f.File.WriteAt(p, off); return err })
}

func (f *stoppableFile) Preallocate(off, length int64) error {
	return f.do("preallocate ", func() error { return f.File.Preallocate(off, length) })
}

func (f *stoppableFile) Sync() error     { return f.do("sync ", f.File.Sync) }
func (f *stoppableFile) SyncData() error { return f.do("sync ", f.File.SyncData) }

func (f *stoppableFile) SyncTo(length int64) (full bool, err error) {
	err = f.do("sync ", func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}
