package fusefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dfs/ids"
	"dfs/index"
	"dfs/objects"
)

// seekBlock is what data and holes are made of for lseek(2). Extents may begin and end at any byte; but programs know
// filesystems with blocks, and take a hole that begins inside of one for a mistake.
const seekBlock = 4096

func blockOf(off int64) int64 { return off &^ (seekBlock - 1) }

// seekData returns the first offset from off on that is in a block with data; ok is false if there is none.
func seekData(r index.Reader, ino ids.Ino, off int64) (at int64, ok bool) {
	if a, _ := objects.Stat(r, ino); off >= a.Size {
		return 0, false
	}
	at, ok = objects.SeekData(r, ino, blockOf(off))
	return max(off, blockOf(at)), ok
}

// seekHole returns the first offset from off on that is in a block without data, or the end of the file; ok is false if
// off is there already or beyond.
func seekHole(r index.Reader, ino ids.Ino, off int64) (at int64, ok bool) {
	a, _ := objects.Stat(r, ino)
	for at = off; at < a.Size; {
		data, more := objects.SeekData(r, ino, blockOf(at))
		if !more || blockOf(data) > blockOf(at) {
			return at, true
		}
		hole, inside := objects.SeekHole(r, ino, max(data, at))
		if !inside {
			break
		}
		at = max(blockOf(hole+seekBlock-1), blockOf(at)+seekBlock)
	}
	return a.Size, off < a.Size
}

// Lseek finds data and holes.
func (f *filesystem) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	h := f.handles.get(in.Fh)
	if h == nil || h.dir != nil {
		return fuse.EBADF
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	r, err := f.contents(ctx, h.n)
	if err != nil {
		return f.fail("lseek", err)
	}
	seek := seekData
	switch in.Whence {
	case unix.SEEK_DATA:
	case unix.SEEK_HOLE:
		seek = seekHole
	default:
		return fuse.EINVAL
	}
	if in.Offset > objects.MaxSize {
		return fuse.Status(syscall.ENXIO)
	}
	at, ok := seek(r, h.n.ino, int64(in.Offset))
	if !ok {
		return fuse.Status(syscall.ENXIO) // what was asked for is not there; no error has happened
	}
	out.Offset = uint64(at)
	return fuse.OK
}
