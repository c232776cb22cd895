package control

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dfs/advice"
	"dfs/errs"

	"golang.org/x/sys/unix"
)

// LockName is the lock file's name in the data directory. It holds the process id of who locked it last.
const LockName = "lock"

// Lock is the right to use a data directory. The kernel takes it back when the process ends, however it ends.
type Lock struct{ file *os.File }

// TakeLock locks the data directory for this process; errs.Busy when another one has it.
func TakeLock(data string) (*Lock, error) {
	path := filepath.Join(data, LockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "lock the data directory")
	}
	// A lock of the open file description, not of the process: it also keeps two nodes in one process apart,
	// and a look at it (Holder) does not take it for a moment, as flock would.
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		f.Close()
		if err != unix.EAGAIN && err != unix.EACCES {
			return nil, errs.Wrap(errs.IO, err, "lock %s", path)
		}
		pid, _ := Holder(data)
		err := errs.New(errs.Busy, "data directory %s is in use by a running node (process %d)", data, pid)
		return nil, advice.Add(err, "dfs status --data %s", advice.Quote(data))
	}
	if err := writePID(f); err != nil {
		f.Close()
		return nil, errs.Wrap(errs.IO, err, "write %s", path)
	}
	return &Lock{f}, nil
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }

// Holder returns the process that has the data directory locked, or 0 when none has.
func Holder(data string) (int, error) {
	f, err := os.Open(filepath.Join(data, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, errs.Wrap(errs.IO, err, "look at the lock of the data directory")
	}
	defer f.Close()
	look := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &look); err != nil {
		return 0, errs.Wrap(errs.IO, err, "look at the lock of %s", data)
	}
	if look.Type == unix.F_UNLCK {
		return 0, nil
	}
	text := make([]byte, 32)
	n, _ := f.ReadAt(text, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid <= 0 {
		return 0, errs.New(errs.Busy, "%s is locked, but by whom is not known yet", data)
	}
	return pid, nil
}
