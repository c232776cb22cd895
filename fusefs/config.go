package fusefs

import (
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"dfs/errs"
)

// Config says what to mount where. MountPoint and Store must be set; the zero value of the rest works.
type Config struct {
	MountPoint string
	Store      Store

	// Source is shown as the device of the mount; it should name where the node keeps its data.
	Source string
	// Strict makes each write wait until every member has received it.
	Strict bool
	// AllowOther lets other users in; the kernel checks their permissions. Only root may say so unless
	// /etc/fuse.conf has user_allow_other.
	AllowOther bool
	// Suid and Dev honour set-user-id bits and device nodes. Only root may say so.
	Suid, Dev bool
	// Zone is that of times in names that have none; nil is the node's own.
	Zone *time.Location
	// Logger gets what went wrong; nil is slog.Default.
	Logger *slog.Logger
	// MaxPending bounds the writes of one file that were answered but not delivered yet.
	MaxPending int
	// Device is /dev/fuse.
	Device string

	// serve replaces the loop; benchmarks compare it with another.
	serve func(*Server) error
}

const (
	defaultMaxPending = 256
	maxMaxPending     = 1 << 16
)

func (c Config) withDefaults() Config {
	if c.Source == "" {
		c.Source = "dfs"
	}
	if c.Zone == nil {
		c.Zone = time.Local
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.MaxPending == 0 {
		c.MaxPending = defaultMaxPending
	}
	if c.Device == "" {
		c.Device = "/dev/fuse"
	}
	return c
}

// Validate reports all mistakes at once.
func (c Config) Validate() error {
	var all []error
	mistake := func(format string, args ...any) { all = append(all, errs.New(errs.Invalid, format, args...)) }
	if c.Store == nil {
		mistake("Store is not set")
	}
	if !filepath.IsAbs(c.MountPoint) {
		mistake("MountPoint %q is not an absolute path", c.MountPoint)
	}
	if c.MaxPending < 0 || c.MaxPending > maxMaxPending {
		mistake("MaxPending is %d, not 1 to %d", c.MaxPending, maxMaxPending)
	}
	return errors.Join(all...)
}
