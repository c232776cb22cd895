package mountpoint

import (
	"os"
	"os/exec"
	"strings"

	"dfs/advice"
	"dfs/errs"

	"golang.org/x/sys/unix"
)

// Unmount takes away the dfs mounted on path; it fails with errs.Busy when somebody uses it.
func Unmount(path string) error { return unmount(path, false) }

// Detach takes away the dfs mounted on path from the tree at once; who uses it keeps it until they let go. It
// is what a stale mount needs. A path without a dfs is left alone (MP3).
func Detach(path string) error { return unmount(path, true) }

func unmount(path string, lazy bool) error {
	for {
		m, mounted := At(path)
		if !mounted || m.Type != Type {
			return nil
		}
		if err := unmountOne(path, lazy); err != nil {
			return err
		}
		// Of several mounts on one path each try takes the topmost.
	}
}

func unmountOne(path string, lazy bool) error {
	if os.Geteuid() == 0 {
		flags := unix.UMOUNT_NOFOLLOW
		if lazy {
			flags |= unix.MNT_DETACH
		}
		err := unix.Unmount(path, flags)
		if err == unix.EBUSY {
			return advice.Add(errs.New(errs.Busy, "%s is in use", path), "see who uses it: fuser -vm %s", advice.Quote(path))
		}
		if err != nil && err != unix.EINVAL { // EINVAL: gone meanwhile
			return errs.Wrap(errs.IO, err, "unmount %s", path)
		}
		return nil
	}
	args := []string{"-u", path}
	if lazy {
		args = []string{"-u", "-z", path}
	}
	out, err := exec.Command("fusermount3", args...).CombinedOutput()
	if _, still := At(path); err != nil && still {
		err := errs.New(errs.Busy, "unmount %s: %s", path, strings.TrimSpace(string(out)))
		return advice.Add(err, "see who uses it: fuser -vm %s", advice.Quote(path))
	}
	return nil
}

// detachCommand is what the user types to take a stale mount away.
func detachCommand(path string) string {
	if os.Geteuid() == 0 {
		return "umount -l " + advice.Quote(path)
	}
	return "fusermount3 -u -z " + advice.Quote(path)
}
