package versionlog

import (
	"errors"

	"dfs/errs"
	"dfs/nvm"
)

// Bounds and defaults of Config.
const (
	DefaultSegmentSize    = 64 << 20
	MinSegmentSize        = 64 << 10
	MaxSegmentSize        = 1 << 30
	DefaultHeadCacheBytes = 4 << 20
	DefaultMaxOpenFiles   = 64
)

// Config holds the settings of a Log. Only Dir is needed.
type Config struct {
	Dir nvm.Dir
	// SegmentSize is the size of the files of a new log; a log that exists keeps the one it has. No
	// record can be longer than a segment less 64 bytes.
	SegmentSize int64
	// ReserveBytes is the end of the last segment that is kept for records without data when the disk
	// has no room for another segment.
	ReserveBytes int64
	// HeadCacheBytes bounds the memory for the checksums of records read lately.
	HeadCacheBytes int
	// MaxOpenFiles bounds the files open for reading.
	MaxOpenFiles int
	// VerifyAll makes Open read and verify the whole log, not just what may have been torn.
	VerifyAll bool
}

func (c *Config) withDefaults() {
	if c.SegmentSize == 0 {
		c.SegmentSize = DefaultSegmentSize
	}
	if c.ReserveBytes == 0 {
		c.ReserveBytes = c.SegmentSize / 4
	}
	if c.HeadCacheBytes == 0 {
		c.HeadCacheBytes = DefaultHeadCacheBytes
	}
	if c.MaxOpenFiles == 0 {
		c.MaxOpenFiles = DefaultMaxOpenFiles
	}
}

// Validate reports every setting that makes no sense.
func (c Config) Validate() error {
	c.withDefaults()
	var all []error
	if c.Dir == nil {
		all = append(all, errs.New(errs.Invalid, "Dir is missing"))
	}
	if c.SegmentSize < MinSegmentSize || c.SegmentSize > MaxSegmentSize || c.SegmentSize%4096 != 0 {
		all = append(all, errs.New(errs.Invalid, "SegmentSize is %d, must be a multiple of 4096 from %d to %d",
			c.SegmentSize, MinSegmentSize, MaxSegmentSize))
	}
	if c.ReserveBytes < 0 || c.ReserveBytes > c.SegmentSize {
		all = append(all, errs.New(errs.Invalid, "ReserveBytes is %d, must be from 0 to SegmentSize", c.ReserveBytes))
	}
	if c.HeadCacheBytes < 0 {
		all = append(all, errs.New(errs.Invalid, "HeadCacheBytes is %d, must not be negative", c.HeadCacheBytes))
	}
	if c.MaxOpenFiles < 1 {
		all = append(all, errs.New(errs.Invalid, "MaxOpenFiles is %d, must be at least 1", c.MaxOpenFiles))
	}
	return errors.Join(all...)
}
