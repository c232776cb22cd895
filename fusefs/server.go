package fusefs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dfs/errs"
	"dfs/ids"
	"dfs/mountpoint"
)

// Server is one mount.
type Server struct {
	cfg    Config
	f      *filesystem
	loop   *loop
	fd     int
	cancel context.CancelFunc
	done   chan struct{} // closed when the connection has ended and everything is cleaned up
	helper sync.WaitGroup
	err    error
}

// initPatience is how long the kernel may take to greet us.
const initPatience = 10 * time.Second

// Mount mounts the filesystem and serves it until it is unmounted, by Unmount or by anyone else.
func Mount(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	fd, err := openMount(&cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, fd: fd, cancel: cancel, done: make(chan struct{}), f: newFilesystem(ctx, cfg)}
	s.f.forget, s.f.prune = newForgetter(s.f, s.invalidate), s.pruneNodes
	if cfg.serve != nil {
		return s, cfg.serve(s)
	}
	s.loop = newLoop(fd, fuse.NewProtocolServer(s.f, s.options()))
	s.loop.inline = s.f.inline
	s.f.forget.put, s.f.forget.apart = s.putPage, s.loop.isApart
	s.loop.log = s.f.limited.warn
	s.loop.start()
	s.background(ctx, s.f.reaper.run)
	s.background(ctx, s.f.forget.run)
	s.background(ctx, s.f.locks.run)
	s.f.grants.tell, s.f.grants.doubt = s.invalidateAttr, s.f.forget.note
	cfg.Store.OnAcknowledge(s.f.grants.acknowledged)
	cfg.Store.OnApply(s.f.forget.applied)
	go s.finish()
	if err := s.greeted(); err != nil {
		_ = mountpoint.Detach(cfg.MountPoint)
		return nil, err
	}
	refusePoll(cfg.MountPoint)
	if err := raiseReadAhead(cfg.MountPoint); err != nil && !errors.Is(err, os.ErrPermission) {
		cfg.Logger.Info("read-ahead stays at the kernel's default; sequential reads are slower", "error", err)
	}
	return s, nil
}

// options are what go-fuse tells the kernel in INIT.
func (s *Server) options() *fuse.MountOptions {
	return &fuse.MountOptions{
		MaxWrite: maxIO, MaxBackground: 128, EnableAcl: true, EnableLocks: true,
		// go-fuse's own messages are about requests that make no sense; they are for debugging.
		Logger: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		PanicHandler: func(v any) fuse.Status {
			s.cfg.Logger.Error("a request failed on a broken invariant", "panic", fmt.Sprint(v), "stack", stack())
			return fuse.EIO
		},
		DisabledCapabilities: fuse.CAP_PASSTHROUGH | fuse.CAP_NO_OPEN_SUPPORT,
		ExtraCapabilities: fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_DONT_MASK | fuse.CAP_SETXATTR_EXT |
			fuse.CAP_READDIRPLUS_AUTO | fuse.CAP_ASYNC_DIO | fuse.CAP_DIRECT_IO_ALLOW_MMAP | fuse.CAP_EXPORT_SUPPORT,
	}
}

func (s *Server) background(ctx context.Context, run func(ctx context.Context)) {
	s.helper.Add(1)
	go func() {
		defer s.helper.Done()
		run(ctx)
	}()
}

// greeted waits until the kernel and we have agreed on the protocol.
func (s *Server) greeted() error {
	select {
	case <-s.loop.ready:
	case <-time.After(initPatience):
		return errs.New(errs.Unavailable, "the kernel does not talk to the mount at %s", s.cfg.MountPoint)
	}
	select {
	case <-s.loop.gone:
		return errs.Wrap(errs.Unavailable, s.loop.err, "the mount at %s ended before it began", s.cfg.MountPoint)
	default:
		return nil
	}
}

// finish cleans up when the connection has ended.
func (s *Server) finish() {
	<-s.loop.gone
	s.cancel() // requests that wait: nobody waits for their answers
	s.loop.drain()
	s.helper.Wait()
	s.f.grants.end()
	if s.loop.err != nil {
		s.err = errs.Wrap(errs.IO, s.loop.err, "the mount at %s ended", s.cfg.MountPoint)
	}
	unix.Close(s.fd)
	close(s.done)
}

// Wait returns when the filesystem is not mounted any more. Its error says if that was not by unmounting.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Done is closed when Wait would return.
func (s *Server) Done() <-chan struct{} { return s.done }

// Unmount takes the mount away. It fails with errs.Busy while somebody uses it, unless lazy is set: then it
// disappears from the tree at once, and who uses it keeps it until they let go.
func (s *Server) Unmount(lazy bool) error {
	if lazy {
		return mountpoint.Detach(s.cfg.MountPoint)
	}
	if err := mountpoint.Unmount(s.cfg.MountPoint); err != nil {
		return err
	}
	return s.Wait()
}

// Stats counts what the mount has done.
type Stats struct {
	Inline, Apart uint64 // requests answered at once, and such that might have to wait
	Interrupted   uint64 // callers that gave up
	Nodes, Past   int    // inodes that the kernel knows
	Handles       int
}

// Stats returns the present counts.
func (s *Server) Stats() Stats {
	st := Stats{Interrupted: s.f.interrupted.Load(), Handles: s.f.handles.count()}
	if s.loop != nil {
		st.Inline, st.Apart = s.loop.inlined.Load(), s.loop.detached.Load()
	}
	st.Nodes, st.Past = s.f.nodes.counts()
	return st
}

// pruneNodes makes the kernel forget inodes that nobody uses. Kernels before 6.18 do not know how.
func (s *Server) pruneNodes(inos []ids.Ino) {
	numbers := s.f.nodes.numbers(inos)
	msg := make([]byte, outHeaderSize+16, outHeaderSize+16+8*len(numbers))
	binary.NativeEndian.PutUint32(msg[4:], notePrune)
	binary.NativeEndian.PutUint32(msg[outHeaderSize:], uint32(len(numbers)))
	for _, n := range numbers {
		msg = binary.NativeEndian.AppendUint64(msg, n)
	}
	binary.NativeEndian.PutUint32(msg[0:], uint32(len(msg)))
	_, _ = unix.Write(s.fd, msg)
}

// putPage gives the kernel contents of a file for its pages. The file is at least as long as that, for the kernel.
func (s *Server) putPage(ino ids.Ino, at int64, b []byte) error {
	msg := make([]byte, outHeaderSize+24, outHeaderSize+24+len(b))
	binary.NativeEndian.PutUint32(msg[0:], uint32(cap(msg)))
	binary.NativeEndian.PutUint32(msg[4:], noteStore)
	binary.NativeEndian.PutUint64(msg[outHeaderSize:], uint64(ino))
	binary.NativeEndian.PutUint64(msg[outHeaderSize+8:], uint64(at))
	binary.NativeEndian.PutUint32(msg[outHeaderSize+16:], uint32(len(b)))
	_, err := unix.Write(s.fd, append(msg, b...))
	return err
}

// invalidate makes the kernel forget a file's pages and attributes. It must not be called by a reader of requests, but
// only by who answers one apart: the kernel may wait for a page whose READ is not answered yet.
func (s *Server) invalidate(ino ids.Ino) error {
	msg := invalidation(ino, 0) // length 0: all pages
	_, err := unix.Write(s.fd, msg[:])
	if err == unix.ENOENT || err == unix.ENODEV { // it has none, or is gone
		return nil
	}
	return err
}

// invalidateAttr makes the kernel forget the attributes of an inode, and its access control list. That waits for nothing. It
// reports whether the kernel knows the inode.
func (s *Server) invalidateAttr(ino ids.Ino) bool {
	msg := invalidation(ino, -1)
	return writeNow(s.fd, msg[:]) != unix.ENOENT
}

// invalidation makes the kernel forget the attributes of an inode, and the pages from an offset on if that is not negative.
func invalidation(ino ids.Ino, offset int64) (msg [outHeaderSize + 24]byte) {
	binary.NativeEndian.PutUint32(msg[0:], uint32(len(msg)))
	binary.NativeEndian.PutUint32(msg[4:], noteInvalInode)
	binary.NativeEndian.PutUint64(msg[outHeaderSize:], uint64(ino))
	binary.NativeEndian.PutUint64(msg[outHeaderSize+8:], uint64(offset))
	return msg
}
