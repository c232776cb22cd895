package index

import (
	"bytes"

	"dfs/hlc"
)

// keyRoom is how long a live key may be to be looked up in the cache without an allocation.
const keyRoom = 320

// view is a Reader.
type view struct {
	x   *Index
	sub *subgroup
	at  hlc.Timestamp
}

// cached looks for the newest row of key in the cache; nil with ok set means absent since then. It is
// apart from newest so that the key stays on the stack.
func (v *view) cached(key []byte) (r row, since hlc.Timestamp, ok bool) {
	var room [keyRoom]byte
	live := appendLive(room[:0], v.sub.id, key)
	return v.x.cache.shard(live).get(live)
}

// newest returns the newest row of key, nil if it is absent. For an absent key since is a moment from
// which on it has been absent.
func (v *view) newest(key []byte) (r row, since hlc.Timestamp, ok bool) {
	if r, since, ok := v.cached(key); ok {
		return r, since, r != nil
	}
	if v.sub.high.beyond(key) {
		return nil, hlc.Timestamp(v.sub.intent.Load()), false
	}
	live := appendLive(make([]byte, 0, prefixLen+len(key)), v.sub.id, key)
	shard := v.x.cache.shard(live)
	epoch := shard.epoch.Load()
	r, ok, err := v.x.kv.Get(live)
	if err != nil {
		v.x.fail(err)
		return nil, v.at, false
	}
	if ok {
		since = r.since()
	} else {
		// What the store, or above high, showed was committed at the intent or before, seen after it was asked.
		r, since = nil, hlc.Timestamp(v.sub.intent.Load())
	}
	v.x.cache.fill(shard, epoch, live, r, since)
	return r, since, ok
}

// Get returns the value that key had at the view's moment.
func (v *view) Get(key []byte) ([]byte, bool) {
	r, since, ok := v.newest(key)
	switch {
	case since > v.at:
		return v.past(key)
	case ok:
		return r.value(), true
	}
	return nil, false
}

// past returns the value that key had, from history alone.
func (v *view) past(key []byte) (value []byte, ok bool) {
	lo, hi := historyOf(v.sub.id, key, v.at)
	v.x.each(lo, hi, func(_, row []byte) bool {
		value, ok = visible(row)
		value = bytes.Clone(value)
		return false
	})
	return value, ok
}

// visible turns a history row into what a reader sees.
func visible(r row) (value []byte, ok bool) {
	if r.deleted() {
		return nil, false
	}
	return r.value(), true
}

// exact reports whether an iterator over live that was taken before shows the view's moment. Until
// a commit beyond the moment begins, it does.
func (v *view) exact() bool { return hlc.Timestamp(v.sub.intent.Load()) <= v.at }

// Scan shows the keys in [from, to) at the view's moment.
func (v *view) Scan(from, to []byte, fn func(key, value []byte) bool) {
	lo, hi := liveRange(v.sub.id, from, to)
	live := v.x.iter(lo, hi)
	defer live.close()
	if !v.exact() {
		v.merge(live, lo, from, to, fn)
		return
	}
	for ok := live.SeekGE(lo); ok; ok = live.Next() {
		if !fn(live.Key()[prefixLen:], row(live.Value()).value()) {
			return
		}
	}
}

// Last returns the greatest key in [from, to) at the view's moment.
func (v *view) Last(from, to []byte) (key, value []byte, ok bool) {
	lo, hi := liveRange(v.sub.id, from, to)
	live := v.x.iter(lo, hi)
	defer live.close()
	if !v.exact() {
		return v.mergeLast(live, hi, from, to)
	}
	if !live.SeekLT(hi) {
		return nil, nil, false
	}
	return bytes.Clone(live.Key()[prefixLen:]), bytes.Clone(row(live.Value()).value()), true
}
