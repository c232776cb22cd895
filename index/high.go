package index

import (
	"bytes"
	"sync/atomic"
)

// high has for each first byte, which is what names a table of a state machine, a key that no live one with that
// byte is beyond. What is made gets ascending numbers, so most keys that are looked for and do not exist lie
// beyond, and the store need not be asked for them.
type high [256]atomic.Pointer[[]byte]

// beyond says that key is not live. A commit that makes it live may be under way.
func (h *high) beyond(key []byte) bool {
	if len(key) == 0 {
		return false
	}
	greatest := h[key[0]].Load()
	return greatest == nil || bytes.Compare(key, *greatest) > 0
}

// raise notes that key is about to be live. One goroutine calls it.
func (h *high) raise(key []byte) {
	if h.beyond(key) {
		h[key[0]].Store(&key)
	}
}

// load finds the greatest keys of a subgroup in the store.
func (st *subgroup) load(x *Index) {
	lo, hi := liveRange(st.id, nil, nil)
	it := x.iter(lo, hi)
	defer it.close()
	for it.SeekLT(hi) {
		key := bytes.Clone(it.Key()[prefixLen:])
		if len(key) == 0 {
			return
		}
		st.high.raise(key)
		hi = appendLive(nil, st.id, key[:1])
	}
}
