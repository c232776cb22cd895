package devcluster

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"dfs/control"
	"dfs/errs"
	"dfs/mountpoint"

	"golang.org/x/sys/unix"
)

// process is a node's process, known by a descriptor so that a signal cannot hit another one (DC1).
type process struct {
	pid int
	fd  int
}

// find returns the node's process, or nil when it does not run.
func (n *Node) find() (*process, error) {
	for {
		pid, err := control.Holder(n.Config.Data)
		if pid == 0 || err != nil {
			return nil, err
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			continue // it ended since
		}
		if err != nil {
			return nil, errs.Wrap(errs.IO, err, "open process %d", pid)
		}
		// The descriptor stands for the process with that id now: does that one hold the lock?
		if again, err := control.Holder(n.Config.Data); err == nil && again == pid {
			return &process{pid, fd}, nil
		}
		unix.Close(fd)
	}
}

func (p *process) close() { unix.Close(p.fd) }

func (p *process) signal(s unix.Signal) error {
	if err := unix.PidfdSendSignal(p.fd, s, nil, 0); err != nil && err != unix.ESRCH {
		return errs.Wrap(errs.NotPermitted, err, "signal process %d", p.pid)
	}
	return nil
}

// wait waits for the end of the process; false when it did not end in time.
func (p *process) wait(limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for {
		left := time.Until(deadline)
		if left < 0 {
			return false
		}
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(left.Milliseconds())+1); n > 0 || (err != nil && err != unix.EINTR) {
			return true
		}
	}
}

// How long a node may take to stop in order before it is killed, and to disappear after that.
const (
	stopPatience = 20 * time.Second
	lastWord     = time.Second // after which a killed one does not end by itself
	killPatience = 10 * time.Second
)

// end ends the node's process and takes its mount away (DC3). It reports whether the process went in order; one
// that was not running did.
func (n *Node) end(gently bool) (inOrder bool, err error) {
	p, err := n.find()
	if err != nil {
		return false, err
	}
	inOrder = true
	if p != nil {
		defer p.close()
		if gently {
			// A process that was stopped with SIGSTOP hears nothing until it goes on.
			err = errors.Join(p.signal(unix.SIGTERM), p.signal(unix.SIGCONT))
			inOrder = err == nil && p.wait(stopPatience)
		}
		if !gently || !inOrder {
			if err := p.signal(unix.SIGKILL); err != nil {
				return false, err
			}
			if !p.wait(lastWord) {
				// A thread of it waits in the kernel for a page that is locked until the node answers a read. Ending the
				// connection ends both; that the mount is busy does not matter.
				_ = unix.Unmount(n.Config.Mount, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW)
			}
			if !p.wait(killPatience) {
				return false, errs.New(errs.Busy, "process %d of node %d does not end", p.pid, n.N)
			}
		}
	}
	if gently {
		err = mountpoint.Detach(n.Config.Mount)
	}
	return inOrder, err
}

// begin starts the node's process in a session of its own, its output appended to its log.
func (n *Node) begin(program string) (*starting, error) {
	if err := mountpoint.Detach(n.Config.Mount); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(n.Config.Mount, 0o755); err != nil {
		return nil, errs.Wrap(errs.IO, err, "make the mount point of node %d", n.N)
	}
	log, err := os.OpenFile(n.LogPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "open the log of node %d", n.N)
	}
	defer log.Close()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errs.Wrap(errs.IO, err, "log of node %d", n.N)
	}
	cmd := exec.Command(program, "node", "--config", n.ConfigPath())
	cmd.Dir = n.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errs.Wrap(errs.IO, err, "start node %d", n.N)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	return &starting{n, cmd, exited, from}, nil
}

// State is how a node is.
type State struct {
	Node   *Node
	PID    int              // 0 when it does not run
	Mount  mountpoint.State // what is at its mount point
	Status *control.Status  // nil when it does not run or does not answer
	Err    error            // why not
}

// Serving reports whether the node serves and its mount is there.
func (s *State) Serving() bool {
	return s.Status != nil && s.Status.Phase == control.Serving && (s.Status.Mount == "" || s.Mount == mountpoint.Live)
}

// State asks how the node is.
func (n *Node) State(ctx context.Context) State {
	s := State{Node: n, Mount: mountpoint.StateOf(n.Config.Mount)}
	s.PID, s.Err = control.Holder(n.Config.Data)
	if s.PID != 0 {
		s.Status, s.Err = control.GetStatus(ctx, n.Config.Data)
	}
	return s
}
