package index

import (
	"sync"
	"sync/atomic"

	"dfs/hlc"
)

// cacheShards is a power of two. A commit that changes a shard discards the fills that were under
// way in it, so there are many.
const cacheShards = 64

// entryCost is what an entry takes in memory beside its key and its row, about.
const entryCost = 160

// cache holds newest rows by key, with a second chance before they are thrown out. It also holds
// absence: an entry without a row says that the key has not existed from since on.
type cache struct {
	shards [cacheShards]cacheShard
	limit  int // bytes of one shard
}

type cacheShard struct {
	mu      sync.Mutex
	entries map[string]*entry
	hand    entry // of the ring of entries; hand.next is the next to be looked at for eviction
	size    int
	epoch   atomic.Uint64 // raised after each change by a commit, with mu held
	_       [24]byte      // keeps the shards on lines of their own
}

type entry struct {
	next, prev *entry
	key        string
	row        row // nil: absent
	since      hlc.Timestamp
	used       bool
}

func (e *entry) size() int { return entryCost + len(e.key) + len(e.row) }

func newCache(limit int) *cache {
	c := &cache{limit: limit / cacheShards}
	for i := range c.shards {
		s := &c.shards[i]
		s.entries = make(map[string]*entry)
		s.hand.next, s.hand.prev = &s.hand, &s.hand
	}
	return c
}

// shard picks by FNV-1a, which is the same in every run. The multiplication at the end brings the last bytes of the
// key, in which neighbours differ, to the top bits, so that the extents of one file go to all shards.
func (c *cache) shard(live []byte) *cacheShard {
	h := uint64(14695981039346656037)
	for _, b := range live {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return &c.shards[h*0x9e3779b97f4a7c15>>58%cacheShards]
}

// get returns the newest row of a live key, nil if it is absent from since on.
func (s *cacheShard) get(live []byte) (r row, since hlc.Timestamp, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[string(live)]
	if e == nil {
		return nil, 0, false
	}
	e.used = true
	return e.row, e.since, true
}

// publish shows what a commit has written; the store shows it already. It is only called by the
// goroutine that writes.
func (c *cache) publish(live []byte, r row, since hlc.Timestamp) {
	s := c.shard(live)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch.Add(1)
	s.put(live, r, since, c.limit)
}

// fill adds what a reader found in the store, unless a commit reached the shard since the reader
// took epoch, which it must have done before it asked the store (X6).
func (c *cache) fill(s *cacheShard, epoch uint64, live []byte, r row, since hlc.Timestamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch.Load() == epoch {
		s.put(live, r, since, c.limit)
	}
}

func (s *cacheShard) put(live []byte, r row, since hlc.Timestamp, limit int) {
	e := s.entries[string(live)]
	if e == nil {
		e = &entry{key: string(live)}
		s.entries[e.key] = e
		e.prev, e.next = s.hand.prev, &s.hand
		e.prev.next, e.next.prev = e, e
		s.size += e.size()
	}
	s.size += len(r) - len(e.row)
	e.row, e.since, e.used = r, since, true
	for s.size > limit {
		s.evict()
	}
}

// evict looks at the entry that was left alone longest: it goes if nobody asked for it since it was
// looked at last.
func (s *cacheShard) evict() {
	e := s.hand.next
	e.prev.next, e.next.prev = e.next, e.prev
	if e.used {
		e.used = false
		e.prev, e.next = s.hand.prev, &s.hand
		e.prev.next, e.next.prev = e, e
		return
	}
	delete(s.entries, e.key)
	s.size -= e.size()
}
