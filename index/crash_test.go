package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"dfs/errs"
	"dfs/hlc"
)

func openSmall(t testing.TB, fs vfs.FS, beforeFlush func() error) KV {
	t.Helper()
	kv, err := OpenPebble("index", PebbleConfig{FS: fs, MemtableBytes: 64 << 10, BufferBytes: 8 << 10, BlockCacheBytes: 1 << 20, BeforeFlush: beforeFlush})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// commitNumbered commits a random Tx that also says its number and fills memory.
func commitNumbered(t *testing.T, x *Index, m model, rng *rand.Rand, n int) {
	t.Helper()
	at := hlc.Timestamp(10 * n)
	tx := x.Begin()
	randomTx(t, tx, m, rng, at)
	tx.SetMeta("number", strconv.AppendInt(nil, int64(n), 10))
	tx.Writer(7, at).Put(fmt.Appendf(nil, "filler %d", n%50), []byte(strings.Repeat("x", 2000)))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func number(x *Index) int {
	v, _ := x.Meta("number")
	n, _ := strconv.Atoi(string(v))
	return n
}

// X1, X2, X7: after a crash the store holds the effect of a prefix of the transactions, at least those
// that were flushed, and never of one whose log was not made durable before.
func TestCrashLeavesPrefix(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrashableMem()
	var committed, durable atomic.Int64
	x := New(openSmall(t, fs, func() error { durable.Store(committed.Load()); return nil }), Config{})
	m := make(model)
	snapshots := []model{{}} // by number
	flushed, crashes := 0, 0
	for n := 1; n <= 160; n++ {
		// The log has what is about to be committed.
		committed.Store(int64(n))
		commitNumbered(t, x, m, rng, n)
		snapshots = append(snapshots, m.clone())
		switch rng.IntN(20) {
		case 0:
			if err := x.Flush(); err != nil {
				t.Fatal(err)
			}
			flushed = n
		case 1, 2:
			crashes++
			checkCrash(t, fs, snapshots, flushed, n, &durable)
		}
	}
	if crashes < 5 {
		t.Fatalf("only %d crashes", crashes)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkCrash(t *testing.T, fs *vfs.MemFS, snapshots []model, flushed, committed int, durable *atomic.Int64) {
	t.Helper()
	seed := uint64(committed)
	for _, percent := range []int{0, 50, 100} {
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))})
		logged := int(durable.Load())
		x := New(openSmall(t, crashed, nil), Config{})
		n := number(x)
		if n < flushed || n > committed {
			t.Fatalf("X2: the store has %d transactions; flushed %d, committed %d", n, flushed, committed)
		}
		if n > logged {
			t.Fatalf("X7: the store has %d transactions, the log %d", n, logged)
		}
		rng := rand.New(rand.NewPCG(seed, 2))
		for range 10 {
			sub, at := randomSub(rng), hlc.Timestamp(rng.Int64N(int64(10*n)+10))
			snapshots[n].check(t, x.At(sub, at), rng, sub, at)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Flush and Close keep everything, and the newest timestamps are known again.
func TestReopen(t *testing.T) {
	fs, rng, m := vfs.NewMem(), rand.New(rand.NewPCG(3, 4)), make(model)
	for n := 1; n <= 5; n++ {
		x := New(openSmall(t, fs, nil), Config{})
		if number(x) != n-1 {
			t.Fatalf("opened with %d transactions, want %d", number(x), n-1)
		}
		commitNumbered(t, x, m, rng, n)
		if x.Newest(7) != hlc.Timestamp(10*n) || x.Newest(300) != 0 {
			t.Fatalf("newest is %d and %d", x.Newest(7), x.Newest(300))
		}
		if err := errors.Join(x.Flush(), x.Close()); err != nil {
			t.Fatal(err)
		}
		x = New(openSmall(t, fs, nil), Config{})
		if x.Newest(7) != hlc.Timestamp(10*n) {
			t.Fatalf("newest is %d after opening again", x.Newest(7))
		}
		for range 20 {
			sub, at := randomSub(rng), hlc.Timestamp(rng.IntN(10*n+10))
			m.check(t, x.At(sub, at), rng, sub, at)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Mem.Crash has what was flushed.
func TestMemCrash(t *testing.T) {
	kv := NewMem()
	x := New(kv, Config{})
	put(t, x, 10, "k", "flushed")
	if err := x.Flush(); err != nil {
		t.Fatal(err)
	}
	put(t, x, 20, "k", "lost")
	crashed := New(kv.Crash(), Config{})
	wantGet(t, crashed, 30, "k", "flushed")
	if crashed.Newest(1) != 10 {
		t.Fatalf("newest is %d", crashed.Newest(1))
	}
	put(t, crashed, 20, "k", "again")
	wantGet(t, x, 30, "k", "lost")
	wantGet(t, New(kv.Crash(), Config{}), 30, "k", "flushed")
	wantGet(t, crashed, 30, "k", "again")
}

// failingFS fails the n-th change of the disk, and all after it.
type failingFS struct {
	vfs.FS
	left atomic.Int64
	err  error
}

type failingFile struct {
	vfs.File
	fs *failingFS
}

func (fs *failingFS) fail() error {
	if fs.left.Add(-1) < 0 {
		return fs.err
	}
	return nil
}

func (fs *failingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.fail(); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, c)
	return &failingFile{f, fs}, err
}

func (fs *failingFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	return &failingFile{f, fs}, err
}

func (fs *failingFS) Remove(name string) error {
	if err := fs.fail(); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

func (fs *failingFS) Rename(from, to string) error {
	if err := fs.fail(); err != nil {
		return err
	}
	return fs.FS.Rename(from, to)
}

func (f *failingFile) Write(p []byte) (int, error) {
	if err := f.fs.fail(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *failingFile) Sync() error {
	if err := f.fs.fail(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *failingFile) SyncData() error { return f.Sync() }

// X2: whichever change of the disk fails, nothing hangs or panics, the index says so and takes no more,
// and what is on the disk is a prefix.
func TestFailEveryChangeOfDisk(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind errs.Kind
	}{{syscall.ENOSPC, errs.NoSpace}, {syscall.EIO, errs.IO}} {
		for n := int64(0); ; n += 1 + n/5 {
			mem := vfs.NewCrashableMem()
			fs := &failingFS{FS: mem, err: c.err}
			fs.left.Store(n)
			kv, err := OpenPebble("index", PebbleConfig{FS: fs, MemtableBytes: 64 << 10, BufferBytes: 8 << 10, BlockCacheBytes: 1 << 20})
			if err != nil {
				if !errors.Is(err, c.kind) {
					t.Fatalf("open with change %d failing: %v, want %v", n, err, c.kind)
				}
				continue
			}
			snapshots, err := workUntilFailure(t, kv)
			if err == nil {
				break // it had fewer changes
			}
			if !errors.Is(err, c.kind) {
				t.Fatalf("change %d failed: %v, want %v", n, err, c.kind)
			}
			for _, percent := range []int{0, 50, 100} {
				rng := rand.New(rand.NewPCG(uint64(n), 1))
				crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
				x := New(openSmall(t, crashed, nil), Config{})
				sub, at := randomSub(rng), hlc.Timestamp(10*number(x))
				snapshots[number(x)].check(t, x.At(sub, at), rng, sub, at)
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// workUntilFailure commits until that fails, checks that it fails from then on and that reading goes
// on without harm, and closes the store.
func workUntilFailure(t *testing.T, kv KV) (snapshots []model, err error) {
	rng, m := rand.New(rand.NewPCG(9, 9)), make(model)
	snapshots = []model{{}}
	x := New(kv, Config{CacheBytes: -1})
	for n := 1; n <= 150; n++ {
		at := hlc.Timestamp(10 * n)
		tx := x.Begin()
		tx.SetMeta("number", strconv.AppendInt(nil, int64(n), 10))
		w := tx.Writer(7, at)
		for i := range 3 {
			key := fmt.Sprintf("key %d", (n+i*7)%50)
			w.Put([]byte(key), fmt.Appendf(nil, "%2000d", n))
			m.put(7, key, version{at: at, value: fmt.Sprintf("%2000d", n)})
		}
		if err = tx.Commit(); err != nil {
			break
		}
		snapshots = append(snapshots, m.clone())
		if n%40 == 0 {
			if err = x.Flush(); err != nil {
				break
			}
		}
	}
	if err != nil {
		last := hlc.Timestamp(10 * (len(snapshots) - 1))
		snapshots[len(snapshots)-1].check(t, x.At(7, last), rng, 7, last)
		tx := x.Begin()
		tx.Writer(7, hlc.Latest).Put([]byte("more"), nil)
		if again := tx.Commit(); !errors.Is(again, errs.KindOf(err)) || x.Err() == nil {
			t.Fatalf("commit after %v: %v", err, again)
		}
		if again := x.Flush(); !errors.Is(again, errs.KindOf(err)) {
			t.Fatalf("flush after %v: %v", err, again)
		}
	}
	// The last Tx may be on disk although it was reported as failed.
	snapshots = append(snapshots, m.clone())
	_ = x.Close()
	return snapshots, err
}

// X7: if the log cannot be made durable, nothing reaches the disk any more.
func TestFailingBeforeFlush(t *testing.T) {
	fs := vfs.NewCrashableMem()
	broken := false
	kv := openSmall(t, fs, func() error {
		if broken {
			return errs.New(errs.IO, "log sync failed")
		}
		return nil
	})
	x := New(kv, Config{})
	put(t, x, 10, "k", "old")
	if err := x.Flush(); err != nil {
		t.Fatal(err)
	}
	broken = true
	put(t, x, 20, "k", "new")
	if err := x.Flush(); !errors.Is(err, errs.IO) || !strings.Contains(err.Error(), "log sync failed") {
		t.Fatalf("flush: %v", err)
	}
	wantGet(t, x, 20, "k", "new")
	crashed := New(openSmall(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}), nil), Config{})
	wantGet(t, crashed, 20, "k", "old")
	if err := crashed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); !errors.Is(err, errs.IO) {
		t.Fatalf("close: %v", err)
	}
}

func TestPebbleConfigValidate(t *testing.T) {
	_, err := OpenPebble("index", PebbleConfig{BlockCacheBytes: 1, MemtableBytes: 1, MaxOpenFiles: 1})
	for _, field := range []string{"BlockCacheBytes", "MemtableBytes", "MaxOpenFiles"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not reported: %v", field, err)
		}
	}
}

// A directory that is no index is refused with its name.
func TestOpenPebbleErrors(t *testing.T) {
	fs := vfs.NewMem()
	f, err := fs.Create("index", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPebble("index", PebbleConfig{FS: fs}); err == nil || !strings.Contains(err.Error(), "index") {
		t.Fatalf("%v", err)
	}
}

// On a real disk: two cannot open one index, and it is found again.
func TestPebbleOnDisk(t *testing.T) {
	dir := t.TempDir()
	kv, err := OpenPebble(dir, PebbleConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPebble(dir, PebbleConfig{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("opened twice: %v", err)
	}
	x := New(kv, Config{})
	put(t, x, 10, "k", "v")
	if err := errors.Join(x.Flush(), x.Close()); err != nil {
		t.Fatal(err)
	}
	if kv, err = OpenPebble(dir, PebbleConfig{}); err != nil {
		t.Fatal(err)
	}
	x = New(kv, Config{})
	wantGet(t, x, 10, "k", "v")
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}
