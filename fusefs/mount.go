package fusefs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dfs/advice"
	"dfs/errs"
	"dfs/mountpoint"
)

// maxIO is the largest READ and WRITE; the kernel's default limit of 256 pages is the same.
const maxIO = 1 << 20

// readAheadKB makes buffered sequential reads come in pieces of maxIO; the kernel's own default is 128.
const readAheadKB = 1024

// openMount mounts and returns the descriptor of the connection.
func openMount(cfg *Config) (int, error) {
	if err := mountpoint.CheckFUSE(cfg.Device); err != nil {
		return -1, err
	}
	if err := mountpoint.Check(cfg.MountPoint); err != nil {
		return -1, err
	}
	if os.Geteuid() != 0 {
		return fusermount(cfg)
	}
	return directMount(cfg)
}

// directMount is mount(2), which root may call.
func directMount(cfg *Config) (int, error) {
	fd, err := unix.Open(cfg.Device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, errs.Wrap(errs.Unavailable, err, "open %s", cfg.Device)
	}
	flags := uintptr(unix.MS_NODEV | unix.MS_NOSUID)
	if cfg.Dev {
		flags &^= unix.MS_NODEV
	}
	if cfg.Suid {
		flags &^= unix.MS_NOSUID
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d,default_permissions",
		fd, unix.S_IFDIR, os.Geteuid(), os.Getegid(), maxIO)
	if cfg.AllowOther {
		options += ",allow_other"
	}
	if err := unix.Mount(cfg.Source, cfg.MountPoint, mountpoint.Type, flags, options); err != nil {
		unix.Close(fd)
		return -1, mountError(cfg, err)
	}
	return fd, nil
}

func mountError(cfg *Config, err error) error {
	wrapped := errs.Wrap(errs.IO, err, "mount %s", cfg.MountPoint)
	switch {
	case errors.Is(err, unix.EPERM):
		return advice.Add(wrapped, "run as root, and in a container with --cap-add SYS_ADMIN")
	case errors.Is(err, unix.ENODEV):
		return advice.Add(wrapped, "modprobe fuse")
	case errors.Is(err, unix.ENOTCONN):
		return advice.Add(wrapped, "umount -l %s", advice.Quote(cfg.MountPoint))
	}
	return wrapped
}

// fusermount has the set-user-id helper of libfuse mount for an ordinary user; it passes the descriptor back
// over a socket.
func fusermount(cfg *Config) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, errs.Wrap(errs.IO, err, "socketpair")
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "fusermount"), os.NewFile(uintptr(pair[1]), "fusermount")
	defer ours.Close()
	defer theirs.Close()
	options := []string{"default_permissions", fmt.Sprintf("max_read=%d", maxIO),
		"fsname=" + escapeOption(cfg.Source), "subtype=" + strings.TrimPrefix(mountpoint.Type, "fuse.")}
	if cfg.AllowOther {
		options = append(options, "allow_other")
	}
	cmd := exec.Command("fusermount3", "-o", strings.Join(options, ","), "--", cfg.MountPoint)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	cmd.ExtraFiles = []*os.File{theirs}
	if out, err := cmd.CombinedOutput(); err != nil {
		err := errs.Wrap(errs.IO, err, "mount %s: %s", cfg.MountPoint, strings.TrimSpace(string(out)))
		if cfg.AllowOther {
			err = advice.Add(err, "run as root, or add a line user_allow_other to /etc/fuse.conf")
		}
		return -1, err
	}
	fd, err := receiveFD(int(ours.Fd()))
	if err != nil {
		return -1, errs.Wrap(errs.IO, err, "fusermount3 %s passed no descriptor", cfg.MountPoint)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return -1, errs.Wrap(errs.IO, err, "set the connection blocking")
	}
	return fd, nil
}

// receiveFD takes one descriptor from a socket.
func receiveFD(socket int) (int, error) {
	var data [4]byte
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(syscall.EBADMSG, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(syscall.EBADMSG, err)
	}
	return fds[0], nil
}

// escapeOption protects what separates mount options.
func escapeOption(s string) string {
	return strings.NewReplacer(`\`, `\\`, ",", `\,`).Replace(s)
}

// pollPatience is how long Mount waits for the kernel to learn that there is no POLL.
const pollPatience = 2 * time.Second

// refusePoll makes the kernel ask for POLL once, which go-fuse refuses, so that it never asks again. Otherwise it
// asks when a Go program opens a file, and if that is the process that serves the mount, as in tests, the runtime
// waits for the answer without letting go of its processor, and may wait for itself. go-fuse answers for a file
// with this name in the root.
func refusePoll(mountPoint string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fd, err := unix.Open(filepath.Join(mountPoint, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		defer unix.Close(fd)
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	}()
	select {
	case <-done:
	case <-time.After(pollPatience): // the root cannot be looked at yet: there is no view
	}
}

// raiseReadAhead tells the kernel to read ahead of sequential readers in pieces as large as a READ may be. Who
// may not write to /sys keeps the default: it costs speed only.
func raiseReadAhead(mountPoint string) error {
	var st unix.Statx_t
	// The attributes that the kernel has will do: the question must not come back to us.
	if err := unix.Statx(unix.AT_FDCWD, mountPoint, unix.AT_STATX_DONT_SYNC, 0, &st); err != nil {
		return err
	}
	path := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", st.Dev_major, st.Dev_minor)
	return os.WriteFile(path, fmt.Appendf(nil, "%d", readAheadKB), 0)
}
