package index

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// Tx is a transaction: changes of any number of subgroups at any number of timestamps, committed
// together (X1). Live rows wait in an overlay until Commit, so that a key changed often in one Tx is
// written to live once; history rows are final when they are made.
type Tx struct {
	x       *Index
	open    bool
	over    tree[*pending] // by live key
	changed int            // counts changes of over, so that a Scan knows when to look again
	out     []Change       // history and meta rows, then in Commit the others
	subs    []touched
}

// pending is the row that a live key will have.
type pending struct {
	row   row // nil: absent
	since hlc.Timestamp
	had   bool // live holds the key in the store
}

type touched struct {
	st *subgroup
	at hlc.Timestamp
}

// Begin opens the transaction. There is one at a time; the goroutine that opens it uses it.
func (x *Index) Begin() *Tx {
	if x.tx.open {
		panic("index: Begin while a transaction is open")
	}
	x.tx.open = true
	return &x.tx
}

// Writer returns a Writer of the subgroup whose changes are tagged at. For each subgroup at must not be
// less than before, in this Tx and in those committed (X3).
func (t *Tx) Writer(sub ids.Subgroup, at hlc.Timestamp) Writer {
	st := t.x.subgroup(sub)
	t.touch(st, at)
	return &writer{t: t, view: view{x: t.x, sub: st, at: hlc.Latest}, tag: at}
}

func (t *Tx) touch(st *subgroup, at hlc.Timestamp) {
	newest := hlc.Timestamp(st.intent.Load())
	for i := range t.subs {
		if t.subs[i].st == st {
			newest, t.subs[i].at = max(newest, t.subs[i].at), at
			st = nil
			break
		}
	}
	if at < newest {
		panic(fmt.Sprintf("index: X3: a change at %d comes after one at %d", at, newest))
	}
	if st != nil {
		t.subs = append(t.subs, touched{st, at})
	}
}

// SetMeta stores an unversioned value of the owner, with the rest of the Tx. Readers of Meta see it
// after Commit.
func (t *Tx) SetMeta(key string, value []byte) {
	t.out = append(t.out, Change{Key: metaKey(key), Value: bytes.Clone(value)})
}

// Len returns the number of records changed so far, so that the owner can bound a Tx.
func (t *Tx) Len() int { return t.over.count }

// Discard ends the Tx without effect.
func (t *Tx) Discard() {
	clear(t.out)
	clear(t.subs)
	*t = Tx{x: t.x, out: t.out[:0], subs: t.subs[:0]}
}

// Commit makes the changes visible to new Readers, all at once, and ends the Tx. If it fails, nothing
// of it is visible, and the index takes no more (see Err).
func (t *Tx) Commit() error {
	defer t.Discard()
	if err := t.x.Err(); err != nil {
		return err
	}
	t.eachPending(func(live []byte, p *pending) {
		switch {
		case p.row != nil:
			t.out = append(t.out, Change{Key: live, Value: p.row})
		case p.had:
			t.out = append(t.out, Change{Key: live, Delete: true})
		}
	})
	// The order of what follows is explained in the package comment.
	for _, s := range t.subs {
		s.st.intent.Store(int64(s.at))
		key := prefix(make([]byte, 0, prefixLen+8), tableNewest, s.st.id)
		row := binary.BigEndian.AppendUint64(key, uint64(s.at))
		t.out = append(t.out, Change{Key: row[:prefixLen:prefixLen], Value: row[prefixLen:]})
	}
	if err := t.x.kv.Apply(t.out); err != nil {
		t.x.fail(errs.Wrap(errs.KindOf(err), err, "index: commit"))
		return t.x.Err()
	}
	t.eachPending(func(live []byte, p *pending) {
		t.x.cache.publish(live, p.row, p.since)
	})
	return nil
}

func (t *Tx) eachPending(fn func(live []byte, p *pending)) {
	for k, p, ok := t.over.ceil(nil, false); ok; k, p, ok = t.over.ceil(k, true) {
		fn(k, p)
	}
}

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
	n := prefixLen + len(key)
	buf := appendLive(make([]byte, 0, n+sinceLen+len(value)), w.view.sub.id, key)
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
	inRange := func(k []byte, p *pending, ok bool) ([]byte, *pending, bool) {
		return k, p, ok && bytes.Compare(k, hi) < 0
	}
	changed := w.t.changed
	k, p, over := inRange(w.t.over.ceil(lo, false))
	for over || it.Valid() {
		var key []byte
		var r row
		if over && (!it.Valid() || bytes.Compare(k, it.Key()) <= 0) {
			key, r = k, p.row
		} else {
			key, r = it.Key(), it.Value()
		}
		if r != nil && !fn(key[prefixLen:], r.value()) {
			return
		}
		if w.t.changed != changed || over && &key[0] == &k[0] {
			changed = w.t.changed
			k, p, over = inRange(w.t.over.ceil(key, true))
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
