package index

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"sync"
	"sync/atomic"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// Reader reads the records of one subgroup as of one moment. Many goroutines may use it at once, also
// while a Tx commits.
type Reader interface {
	// Get returns the value of key, which must not be changed and may be kept.
	Get(key []byte) (value []byte, ok bool)
	// Scan calls fn for the keys in [from, to) in ascending order until fn returns false. A nil to
	// means no bound. key and value are valid only during the call.
	Scan(from, to []byte, fn func(key, value []byte) bool)
	// Last returns the greatest key in [from, to) with its value, both copies.
	Last(from, to []byte) (key, value []byte, ok bool)
}

// Writer sees and changes the newest state of one subgroup, with what its Tx has written so far. Only
// the goroutine of the Tx may use it. During Scan, fn may write: the scan then goes on with the keys
// beyond the present one as they have become.
type Writer interface {
	Reader
	// Put sets the value of key. Both are copied.
	Put(key, value []byte)
	// Delete removes key; if it does not exist nothing happens.
	Delete(key []byte)
	// PutPassing and DeletePassing are the same for a key that is of interest only as it is now: what it
	// was before leaves no trace. A Reader at a moment before the newest change of the key does not see it.
	// A key is either always changed by these or never.
	PutPassing(key, value []byte)
	DeletePassing(key []byte)
}

// DefaultCacheBytes is the size of the cache of newest values.
const DefaultCacheBytes = 32 << 20

// Config holds the settings of an Index. The zero value is good.
type Config struct {
	CacheBytes int // bound of the cache of newest values; 0 means DefaultCacheBytes, negative no cache
}

// Index is an ordered set of versioned records in subgroups.
type Index struct {
	kv    KV
	cache *cache
	tx    Tx // the one transaction

	mu   sync.Mutex // serialises additions to subs
	subs atomic.Pointer[map[ids.Subgroup]*subgroup]

	err atomic.Pointer[error]
}

// New returns the index that kv holds. It owns kv from then on.
func New(kv KV, cfg Config) *Index {
	switch {
	case cfg.CacheBytes == 0:
		cfg.CacheBytes = DefaultCacheBytes
	case cfg.CacheBytes < 0:
		cfg.CacheBytes = 0
	}
	x := &Index{kv: kv, cache: newCache(cfg.CacheBytes)}
	x.tx.x = x
	subs := make(map[ids.Subgroup]*subgroup)
	x.each([]byte{tableNewest}, []byte{tableNewest + 1}, func(key, value []byte) bool {
		st := &subgroup{id: ids.Subgroup(binary.BigEndian.Uint16(key[1:]))}
		newest := int64(binary.BigEndian.Uint64(value))
		st.intent.Store(newest)
		st.newest.Store(newest)
		subs[st.id] = st
		return true
	})
	for _, st := range subs {
		st.load(x)
	}
	x.subs.Store(&subs)
	return x
}

// subgroup is what the index knows of one subgroup.
type subgroup struct {
	id     ids.Subgroup
	intent atomic.Int64 // hlc.Timestamp: no commit beyond it has reached the store
	newest atomic.Int64 // hlc.Timestamp: all commits up to it are visible
	high   high         // raised before the store shows a key
}

// subgroup returns the state of a subgroup, made at its first use.
func (x *Index) subgroup(sub ids.Subgroup) *subgroup {
	if st := (*x.subs.Load())[sub]; st != nil {
		return st
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if st := (*x.subs.Load())[sub]; st != nil {
		return st
	}
	st := &subgroup{id: sub}
	st.intent.Store(math.MinInt64)
	subs := maps.Clone(*x.subs.Load())
	subs[sub] = st
	x.subs.Store(&subs)
	return st
}

// Newest returns the newest timestamp committed in the subgroup, or 0. A Reader at it is exact.
func (x *Index) Newest(sub ids.Subgroup) hlc.Timestamp {
	return hlc.Timestamp(x.subgroup(sub).newest.Load())
}

// At returns a Reader of the subgroup as of a moment: a past one, the newest committed, or a later
// one, which shows what is newest when it is asked.
func (x *Index) At(sub ids.Subgroup, at hlc.Timestamp) Reader {
	return &view{x: x, sub: x.subgroup(sub), at: at}
}

// Meta returns the committed value that SetMeta stored under key.
func (x *Index) Meta(key string) ([]byte, bool) {
	value, ok, err := x.kv.Get(metaKey(key))
	if err != nil {
		x.fail(err)
	}
	return value, ok && err == nil
}

func metaKey(key string) []byte { return append([]byte{tableMeta}, key...) }

// History calls fn for every version of a key, the newest first, until fn returns false. A version with
// deleted set has no value. value is valid only during the call.
func (x *Index) History(sub ids.Subgroup, key []byte, fn func(since hlc.Timestamp, value []byte, deleted bool) bool) {
	v := view{x: x, sub: x.subgroup(sub), at: hlc.Latest}
	live := hlc.Latest
	if r, _, _ := v.newest(key); r != nil {
		live = r.since()
		if !fn(live, r.value(), false) {
			return
		}
	}
	lo, hi := historyOf(sub, key, hlc.Latest)
	x.each(lo, hi, func(k, value []byte) bool {
		since := rowTime(k)
		if live != hlc.Latest && since >= live {
			return true // hidden (X5), or superseded since live was read
		}
		if r := row(value); !r.deleted() {
			return fn(since, r.value(), false)
		}
		return fn(since, nil, true)
	})
}

// Err returns the first error of the store. What readers answered while it is set must not be used,
// and nothing can be committed any more.
func (x *Index) Err() error {
	if p := x.err.Load(); p != nil {
		return *p
	}
	return nil
}

// fail keeps the first error.
func (x *Index) fail(err error) {
	if errs.KindOf(err) == errs.OK {
		return
	}
	x.err.CompareAndSwap(nil, &err)
}

// Flush makes everything committed durable.
func (x *Index) Flush() error {
	if err := x.kv.Flush(); err != nil {
		x.fail(err)
	}
	return x.Err()
}

// Close closes the store. What was not flushed may be lost. No Reader may be in use.
func (x *Index) Close() error { return x.kv.Close() }

// each calls fn for the rows of the store in [lo, hi) until it returns false.
func (x *Index) each(lo, hi []byte, fn func(key, value []byte) bool) {
	it := x.iter(lo, hi)
	defer it.close()
	for ok := it.SeekGE(lo); ok && fn(it.Key(), it.Value()); {
		ok = it.Next()
	}
}

// cursor is an iterator that reports its errors to the index.
type cursor struct {
	Iter
	x *Index
}

func (x *Index) iter(lo, hi []byte) cursor {
	if bytes.Compare(lo, hi) >= 0 {
		return cursor{&memIter{}, x} // not every store takes such bounds
	}
	it, err := x.kv.Iter(lo, hi)
	if err != nil {
		x.fail(err)
		it = &memIter{}
	}
	return cursor{it, x}
}

func (c cursor) close() {
	if err := c.Iter.Close(); err != nil {
		c.x.fail(err)
	}
}
