package index

import (
	"bytes"

	"dfs/hlc"
)

// writer is a Writer: the newest state below the overlay.
type writer struct {
	t    *Tx
	view view // of the newest committed state
	tag  hlc.Timestamp
	room [keyRoom]byte
}

// pending returns the overlay's entry of key.
func (w *writer) pending(key []byte) (*pending, bool) {
	if w.t.over.count == 0 {
		return nil, false
	}
	return w.t.over.get(appendLive(w.room[:0], w.view.sub.id, key))
}

// newest returns the row that key has now, nil if it is absent.
func (w *writer) newest(key []byte) (r row, p *pending) {
	if p, ok := w.pending(key); ok {
		return p.row, p
	}
	r, _, _ = w.view.newest(key)
	return r, nil
}

// Get returns the newest value of key.
func (w *writer) Get(key []byte) ([]byte, bool) {
	r, _ := w.newest(key)
	if r == nil {
		return nil, false
	}
	return r.value(), true
}

// Put sets key to value.
func (w *writer) Put(key, value []byte) {
	old, p := w.newest(key)
	w.supersede(key, old)
	w.put(key, value, old, p)
}

// PutPassing sets key to value and forgets what it was.
func (w *writer) PutPassing(key, value []byte) {
	old, p := w.newest(key)
	w.put(key, value, old, p)
}

func (w *writer) put(key, value []byte, old row, p *pending) {
	n := prefixLen + len(key)
	buf := appendLive(make([]byte, 0, n+sinceLen+len(value)), w.view.sub.id, key)
	if old == nil {
		w.view.sub.high.raise(buf[prefixLen:n:n])
	}
	buf = appendRow(buf, w.tag, value)
	w.set(buf[:n:n], buf[n:], old, p)
}

// Delete removes key.
func (w *writer) Delete(key []byte) {
	old, p := w.newest(key)
	if old == nil {
		return
	}
	w.supersede(key, old)
	// The tombstone is also needed for a key made at the same moment: older rows may lie below it.
	w.t.out = append(w.t.out, Change{Key: w.historyKey(key, w.tag)})
	w.set(appendLive(nil, w.view.sub.id, key), nil, old, p)
}

// DeletePassing removes key and forgets what it was.
func (w *writer) DeletePassing(key []byte) {
	if old, p := w.newest(key); old != nil {
		w.set(appendLive(nil, w.view.sub.id, key), nil, old, p)
	}
}

// supersede moves the old row of key to history, unless it is of the same moment: then nobody can see
// it any more.
func (w *writer) supersede(key []byte, old row) {
	if old != nil && old.since() < w.tag {
		w.t.out = append(w.t.out, Change{Key: w.historyKey(key, old.since()), Value: old})
	}
}

func (w *writer) historyKey(key []byte, since hlc.Timestamp) []byte {
	return appendHistory(make([]byte, 0, prefixLen+len(key)+historyEnd+2), w.view.sub.id, key, since)
}

// set makes r the row of a live key; old is its row so far and p its entry, if it has one.
func (w *writer) set(live []byte, r, old row, p *pending) {
	w.t.changed++
	if p != nil {
		p.row, p.since = r, w.tag
		return
	}
	w.t.over.set(live, &pending{row: r, since: w.tag, had: old != nil})
}

// Scan shows the newest keys in [from, to): what the store has, covered by the overlay.
func (w *writer) Scan(from, to []byte, fn func(key, value []byte) bool) {
	lo, hi := liveRange(w.view.sub.id, from, to)
	it := w.view.x.iter(lo, hi)
	defer it.close()
	it.SeekGE(lo)
	k, p, over := w.t.over.ceil(lo, false)
	changed := w.t.changed
	for {
		over = over && bytes.Compare(k, hi) < 0
		if !over && !it.Valid() {
			return
		}
		var key []byte
		var r row
		covered := over && (!it.Valid() || bytes.Compare(k, it.Key()) <= 0)
		if covered {
			key, r = k, p.row
		} else {
			key, r = it.Key(), it.Value()
		}
		if r != nil && !fn(key[prefixLen:], r.value()) {
			return
		}
		if covered || w.t.changed != changed {
			changed = w.t.changed
			k, p, over = w.t.over.ceil(key, true)
		}
		if it.Valid() && bytes.Compare(it.Key(), key) <= 0 {
			it.Next()
		}
	}
}

// Last returns the greatest key in [from, to).
func (w *writer) Last(from, to []byte) (key, value []byte, ok bool) {
	lo, hi := liveRange(w.view.sub.id, from, to)
	it := w.view.x.iter(lo, hi)
	defer it.close()
	it.SeekLT(hi)
	k, p, over := w.t.over.lower(hi)
	for {
		over = over && bytes.Compare(k, lo) >= 0
		if !over && !it.Valid() {
			return nil, nil, false
		}
		if !over || it.Valid() && bytes.Compare(it.Key(), k) > 0 {
			return bytes.Clone(it.Key()[prefixLen:]), bytes.Clone(row(it.Value()).value()), true
		}
		if p.row != nil {
			return bytes.Clone(k[prefixLen:]), bytes.Clone(p.row.value()), true
		}
		if it.Valid() && bytes.Equal(it.Key(), k) {
			it.Prev()
		}
		k, p, over = w.t.over.lower(k)
	}
}
