package mountpoint

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dfs/advice"
	"dfs/errs"

	"golang.org/x/sys/unix"
)

// patience is how long a filesystem may take to say whether it is alive (MP2).
const patience = 2 * time.Second

// State is what a path is fit for.
type State int

// The states.
const (
	Free  State = iota // no dfs is mounted there
	Live               // a dfs is mounted there, and its process lives
	Stale              // a dfs is mounted there, but its process is gone
)

// StateOf tells whether a dfs is mounted on path and alive. A mount that does not answer counts as alive:
// its process may be waiting for its peers.
func StateOf(path string) State {
	m, mounted := At(path)
	if !mounted || m.Type != Type {
		return Free
	}
	if err := probe(path); errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED) {
		return Stale
	}
	return Live
}

// probe asks the filesystem at path for its size, and gives up after a while. The goroutine that
// asks stays behind until the filesystem answers or dies: the kernel offers no way to take the question back.
func probe(path string) error {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(path, &st)
	}()
	select {
	case err := <-answer:
		return err
	case <-time.After(patience):
		return errs.New(errs.Unavailable, "%s does not answer", path)
	}
}

// Check returns an error with a hint if nothing can be mounted on path now (MP1). path must be absolute.
func Check(path string) error {
	quoted := advice.Quote(path)
	switch StateOf(path) {
	case Stale:
		err := errs.New(errs.Busy, "mount point %s is stale: its dfs process is gone (transport endpoint is not connected)", path)
		return advice.Add(err, "%s", detachCommand(path))
	case Live:
		return advice.Add(errs.New(errs.Busy, "mount point %s is busy: another dfs is mounted there", path), "choose another directory, or: umount %s", quoted)
	}
	if m, mounted := At(path); mounted {
		err := errs.New(errs.Busy, "mount point %s is busy: a filesystem of type %s is mounted there", path, m.Type)
		return advice.Add(err, "choose an empty directory, or: umount %s", quoted)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, unix.ENOTCONN):
		err := errs.New(errs.Busy, "mount point %s is stale: the process that served it is gone (transport endpoint is not connected)", path)
		return advice.Add(err, "%s", detachCommand(path))
	case errors.Is(err, fs.ErrNotExist):
		return advice.Add(errs.New(errs.NotFound, "mount point %s does not exist", path), "mkdir -p %s", quoted)
	case err != nil:
		return advice.Add(errs.Wrap(errs.IO, bare(err), "mount point %s cannot be used", path), "ls -ld %s", quoted)
	case !info.IsDir():
		return advice.Add(errs.New(errs.NotDirectory, "mount point %s is not a directory", path), "choose an empty directory")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return advice.Add(errs.Wrap(errs.IO, bare(err), "mount point %s cannot be read", path), "ls -ld %s", quoted)
	}
	if len(entries) > 0 {
		err := errs.New(errs.NotEmpty, "mount point %s is not empty: mounting there would hide what is in it", path)
		return advice.Add(err, "choose an empty directory, for example: mkdir -p %s", advice.Quote(strings.TrimSuffix(path, "/")+"-dfs"))
	}
	return nil
}

// CheckFUSE returns an error with a hint if this machine cannot mount FUSE filesystems for this user.
// device is /dev/fuse.
func CheckFUSE(device string) error {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		err := errs.New(errs.Unavailable, "%s is missing: the kernel offers no FUSE here", device)
		return advice.Add(err, "modprobe fuse   (in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN)")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		err := errs.Wrap(errs.AccessDenied, err, "%s cannot be opened", device)
		return advice.Add(err, "run as root, or: chmod 666 %s   (in a container: --device /dev/fuse --cap-add SYS_ADMIN)", device)
	case err != nil:
		return advice.Add(errs.Wrap(errs.IO, err, "%s cannot be opened", device), "ls -l %s", device)
	}
	unix.Close(fd)
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		err := errs.New(errs.Unavailable, "fusermount3 is missing: only root can mount without it")
		return advice.Add(err, "apt-get install fuse3")
	}
	return nil
}

// CheckApart returns an error if the mount point and the data directory contain one another: the filesystem
// would wait for itself.
func CheckApart(mount, data string) error {
	inside := func(path, dir string) bool {
		rel, err := filepath.Rel(dir, path)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
	}
	switch {
	case inside(data, mount):
		err := errs.New(errs.Invalid, "the data directory %s is inside of the mount point %s", data, mount)
		return advice.Add(err, "choose a data directory outside of the mount, with --data")
	case inside(mount, data):
		err := errs.New(errs.Invalid, "the mount point %s is inside of the data directory %s", mount, data)
		return advice.Add(err, "choose a mount point outside of the data directory")
	}
	return nil
}

// bare drops the operation and path that package os puts in front, which the message already has.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
