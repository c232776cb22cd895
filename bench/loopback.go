package bench

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Loopback mounts an ordinary directory on another through go-fuse, as its example does: what a filesystem
// in user space costs that does nothing. It says so on ready and serves until ctx ends.
//
// Requests for data go through the process, as they must where bytes are not in one local file: the kernel
// refuses passthrough with a depth of stacking that it does not know. timeout is how long the kernel may keep names and
// attributes without asking; 0 is fair to a filesystem of which others see changes at once.
func Loopback(ctx context.Context, dir, mount string, timeout time.Duration, ready io.Writer) error {
	root, err := fs.NewLoopbackRoot(dir)
	if err != nil {
		return err
	}
	server, err := fs.Mount(mount, root, &fs.Options{
		EntryTimeout: &timeout, AttrTimeout: &timeout,
		MountOptions: fuse.MountOptions{FsName: dir, Name: "loopback", DirectMount: true, MaxStackDepth: -1},
	})
	if err != nil {
		return fmt.Errorf("mount the loopback filesystem: %w", err)
	}
	if _, err := fmt.Fprintln(ready, mount); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		server.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	return server.Unmount()
}
