package index

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"dfs/errs"
)

// Defaults of PebbleConfig.
const (
	DefaultBlockCacheBytes = 32 << 20
	DefaultMemtableBytes   = 16 << 20
	DefaultBufferBytes     = 4 << 20
)

// stopMemtables is how many memtables may wait to be written out before commits wait too.
const stopMemtables = 4

// PebbleConfig holds the settings of the store on disk. The zero value is good.
type PebbleConfig struct {
	BlockCacheBytes int64 // of uncompressed blocks
	MemtableBytes   int   // up to stopMemtables of this are in memory
	BufferBytes     int   // of changes that are collected before the store gets them; up to three times that is in memory
	MaxOpenFiles    int

	// BeforeFlush is called before anything that was committed until then is made durable (X7); it
	// makes the log durable. If it fails, the store stops at what is on disk. It may be called by any
	// goroutine, and must not use the index.
	BeforeFlush func() error

	// FS is the file system, the operating system's if nil.
	FS vfs.FS
	// Logf, if set, is told what the store does in the background.
	Logf func(format string, args ...any)
}

func (c *PebbleConfig) withDefaults() {
	if c.BlockCacheBytes == 0 {
		c.BlockCacheBytes = DefaultBlockCacheBytes
	}
	if c.MemtableBytes == 0 {
		c.MemtableBytes = DefaultMemtableBytes
	}
	if c.BufferBytes == 0 {
		c.BufferBytes = DefaultBufferBytes
	}
	if c.MaxOpenFiles == 0 {
		c.MaxOpenFiles = 256
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
}

// Validate reports every setting that makes no sense.
func (c PebbleConfig) Validate() error {
	c.withDefaults()
	var all []error
	if c.BlockCacheBytes < 1<<20 {
		all = append(all, errs.New(errs.Invalid, "BlockCacheBytes is %d, must be at least 1 MiB", c.BlockCacheBytes))
	}
	if c.MemtableBytes < 64<<10 || c.MemtableBytes > 1<<30 {
		all = append(all, errs.New(errs.Invalid, "MemtableBytes is %d, must be 64 KiB to 1 GiB", c.MemtableBytes))
	}
	if c.BufferBytes < 1<<10 || c.BufferBytes > 1<<30 {
		all = append(all, errs.New(errs.Invalid, "BufferBytes is %d, must be 1 KiB to 1 GiB", c.BufferBytes))
	}
	if c.MaxOpenFiles < 16 {
		all = append(all, errs.New(errs.Invalid, "MaxOpenFiles is %d, must be at least 16", c.MaxOpenFiles))
	}
	return errors.Join(all...)
}

// pebbleKV is a KV on Pebble without its write-ahead log.
type pebbleKV struct {
	db *pebble.DB
	fs *stoppableFS
}

// OpenPebble opens the store in dir, and makes it if there is none.
func OpenPebble(dir string, cfg PebbleConfig) (KV, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.withDefaults()
	kv := &pebbleKV{fs: newStoppableFS(cfg.FS, cfg.BeforeFlush)}
	opts := cfg.options(kv.fs)
	defer opts.Cache.Unref()
	db, err := pebble.Open(dir, opts)
	if stopped := kv.fs.Err(); stopped != nil {
		// What the store made of the failure does not matter.
		if err == nil {
			_ = db.Close()
		}
		return nil, stopped
	}
	if err != nil {
		return nil, kindOf(err, "open index "+dir)
	}
	kv.db = db
	return newBuffer(kv, cfg.BufferBytes), nil
}

func (c PebbleConfig) options(fs *stoppableFS) *pebble.Options {
	o := &pebble.Options{
		FS:                 fs,
		DisableWAL:         true,
		FormatMajorVersion: pebble.FormatTableFormatV6,
		// Pebble takes the memory of memtables out of the cache; there are seldom more than two.
		Cache:                       pebble.NewCache(c.BlockCacheBytes + 2*int64(c.MemtableBytes)),
		MemTableSize:                uint64(c.MemtableBytes),
		MemTableStopWritesThreshold: stopMemtables,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                c.MaxOpenFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      storeLog{c.Logf},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { fs.stop(kindOf(err, "index in the background")) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				fs.stop(errs.New(errs.Corrupt, "index: %v", info))
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].IndexBlockSize = 256 << 10 // no index of the index
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	// The newest tables are short-lived and read most.
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	return o
}

// storeLog passes on what Pebble has to say.
type storeLog struct {
	logf func(format string, args ...any)
}

func (l storeLog) Infof(format string, args ...any) {
	if l.logf != nil {
		l.logf(format, args...)
	}
}

func (l storeLog) Errorf(format string, args ...any) { l.Infof(format, args...) }

// Fatalf is what Pebble calls when its own invariants are broken; failures of the disk do not get
// here, see stoppableFS.
func (l storeLog) Fatalf(format string, args ...any) { panic("index: " + fmt.Sprintf(format, args...)) }

// kindOf gives an error of Pebble its kind.
func kindOf(err error, what string) error {
	kind := errs.KindOf(err)
	switch {
	case vfs.IsNoSpaceError(err):
		kind = errs.NoSpace
	case pebble.IsCorruptionError(err):
		kind = errs.Corrupt
	}
	return errs.Wrap(kind, err, "%s", what)
}

// Get seeks, instead of calling Get of Pebble, which does not ask the filters of the lowest level: most
// keys that are looked for here and are not in the cache do not exist.
func (kv *pebbleKV) Get(key []byte) (value []byte, ok bool, err error) {
	it, err := kv.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return nil, false, kindOf(err, "index get")
	}
	if it.SeekPrefixGE(key) && bytes.Equal(it.Key(), key) {
		value, ok = append([]byte{}, it.Value()...), true
	}
	if err := it.Close(); err != nil {
		return nil, false, kindOf(err, "index get")
	}
	return value, ok, nil
}

func (kv *pebbleKV) Iter(from, to []byte) (Iter, error) {
	it, err := kv.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, kindOf(err, "index iterator")
	}
	return pebbleIter{it}, nil
}

// pebbleIter adds the kind to the error at the end.
type pebbleIter struct{ *pebble.Iterator }

func (i pebbleIter) Close() error {
	if err := i.Iterator.Close(); err != nil {
		return kindOf(err, "index iterator")
	}
	return nil
}

func (kv *pebbleKV) Err() error { return kv.fs.Err() }

// Apply writes one batch. A batch lies in one memtable, and memtables become durable in order, each
// whole (X1, X2).
func (kv *pebbleKV) Apply(changes []Change) error {
	if err := kv.fs.Err(); err != nil {
		return err
	}
	b := kv.db.NewBatch()
	for _, c := range changes {
		// Neither fails on a batch that is not indexed.
		if c.Delete {
			op := b.DeleteDeferred(len(c.Key))
			copy(op.Key, c.Key)
			_ = op.Finish()
			continue
		}
		op := b.SetDeferred(len(c.Key), len(c.Value))
		copy(op.Key, c.Key)
		copy(op.Value, c.Value)
		_ = op.Finish()
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return kindOf(err, "index commit")
	}
	if err := b.Close(); err != nil {
		return kindOf(err, "index commit")
	}
	// It may have waited for room that came only because the disk was given up.
	return kv.fs.Err()
}

func (kv *pebbleKV) Flush() error {
	if err := kv.db.Flush(); err != nil {
		return kindOf(err, "index flush")
	}
	return kv.fs.Err()
}

func (kv *pebbleKV) Close() error {
	if err := kv.db.Close(); err != nil {
		return kindOf(err, "close index")
	}
	return kv.fs.Err()
}
