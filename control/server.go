package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"dfs/errs"

	"golang.org/x/sys/unix"
)

// SocketName is the socket's name in the data directory.
const SocketName = "control.sock"

// Patience is how long one exchange may take, LongPatience one that changes the cluster (C3).
const (
	Patience     = 5 * time.Second
	LongPatience = time.Minute
)

// maxClients bounds the exchanges at one moment (C3).
const maxClients = 32

// Handler answers a request. It may be called by several goroutines.
type Handler func(ctx context.Context, req Request) (Response, error)

// Server answers on the socket of one data directory.
type Server struct {
	data     string
	listener *net.UnixListener
	handle   Handler
	slots    chan struct{}
	running  sync.WaitGroup
	cancel   context.CancelFunc
	ctx      context.Context
}

// Serve listens in the data directory, whose lock the caller holds; a socket left over by a process that died is
// replaced. Close ends it.
func Serve(data string, handle Handler) (*Server, error) {
	dir, err := openDir(data)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	path := socketPath(dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errs.Wrap(errs.IO, err, "remove the old control socket in %s", data)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "listen on the control socket in %s", data)
	}
	listener.SetUnlinkOnClose(false) // it knows only the path through the descriptor; Close uses the real one
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, errs.Wrap(errs.IO, err, "restrict the control socket in %s", data)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{data: data, listener: listener, handle: handle, slots: make(chan struct{}, maxClients), ctx: ctx, cancel: cancel}
	s.running.Go(s.accept)
	return s, nil
}

// Close stops listening and waits for the exchanges that are under way.
func (s *Server) Close() error {
	s.cancel()
	err := errors.Join(os.Remove(filepath.Join(s.data, SocketName)), s.listener.Close())
	s.running.Wait()
	return err
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client gave up, or descriptors ran out for a moment
		}
		select {
		case s.slots <- struct{}{}:
			s.running.Go(func() {
				defer func() { <-s.slots }()
				s.exchange(conn)
			})
		case <-s.ctx.Done():
			conn.Close()
			return
		}
	}
}

// exchange answers one request.
func (s *Server) exchange(conn *net.UnixConn) {
	defer conn.Close()
	if !allowed(conn) || conn.SetDeadline(time.Now().Add(Patience)) != nil {
		return
	}
	stop := context.AfterFunc(s.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req, err := DecodeRequest(conn)
	var resp Response
	if err == nil {
		ctx, cancel := context.WithTimeout(s.ctx, commands[req.Command])
		resp, err = s.handle(ctx, req)
		cancel()
	}
	if err != nil {
		resp = failure(err)
	}
	stop() // an answer to a stop request must get out although the node is stopping
	conn.SetDeadline(time.Now().Add(Patience))
	encodeLine(conn, resp)
}

// allowed checks who is at the other end (C4). File modes say the same; this holds where they were loosened.
func allowed(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		ok = err == nil && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid())
	})
	return err == nil && ok
}

// openDir opens the data directory. The socket is named through it because the address of a unix socket has
// room for 107 bytes only, and data directories may have longer names.
func openDir(data string) (int, error) {
	fd, err := unix.Open(data, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		kind := errs.IO
		if err == unix.ENOENT {
			kind = errs.NotFound
		}
		return -1, errs.Wrap(kind, err, "open data directory %s", data)
	}
	return fd, nil
}

func socketPath(dir int) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(dir), SocketName)
}
