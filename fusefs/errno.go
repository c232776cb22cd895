package fusefs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
)

// errnos is the one table from kinds of errors to what a system call returns (U1).
var errnos = map[errs.Kind]syscall.Errno{
	errs.IO:           syscall.EIO,
	errs.NotFound:     syscall.ENOENT,
	errs.Exists:       syscall.EEXIST,
	errs.NotDirectory: syscall.ENOTDIR,
	errs.IsDirectory:  syscall.EISDIR,
	errs.NotEmpty:     syscall.ENOTEMPTY,
	errs.Invalid:      syscall.EINVAL,
	errs.ReadOnly:     syscall.EROFS,
	errs.NameTooLong:  syscall.ENAMETOOLONG,
	errs.TooManyLinks: syscall.EMLINK,
	errs.NotPermitted: syscall.EPERM,
	errs.AccessDenied: syscall.EACCES,
	errs.NoSpace:      syscall.ENOSPC,
	errs.TooLarge:     syscall.EFBIG,
	errs.NoAttribute:  syscall.ENODATA,
	errs.Range:        syscall.ERANGE,
	errs.NotSupported: syscall.EOPNOTSUPP,
	errs.Busy:         syscall.EBUSY,
	errs.CrossDevice:  syscall.EXDEV,
	errs.Stale:        syscall.ESTALE,
	errs.Interrupted:  syscall.EINTR,
	errs.Unavailable:  syscall.EIO,
	errs.Corrupt:      syscall.EIO,
	errs.WouldLoop:    syscall.EINVAL, // rename(2) of a directory below itself
	errs.WouldBlock:   syscall.EAGAIN,
	errs.Deadlock:     syscall.EDEADLK,
	errs.NoLocks:      syscall.ENOLCK,
	// The past is asked for by name, and a name that leads nowhere does not exist. The log says why.
	errs.Future:          syscall.ENOENT,
	errs.BeforeBeginning: syscall.ENOENT,
}

// status turns a kind into the answer to the kernel.
func status(k errs.Kind) fuse.Status {
	if k == errs.OK {
		return fuse.OK
	}
	if e, ok := errnos[k]; ok {
		return fuse.Status(e)
	}
	return fuse.EIO
}

// kindOf is errs.KindOf, but knows that a context that ended means that the caller gave up.
func kindOf(err error) errs.Kind {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errs.Interrupted
	}
	return errs.KindOf(err)
}
