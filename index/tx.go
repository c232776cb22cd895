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
	t.over.each(func(live []byte, p *pending) {
		switch {
		case p.row != nil:
			t.out = append(t.out, Change{Key: live, Value: p.row, New: !p.had})
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
	t.over.each(func(live []byte, p *pending) {
		t.x.cache.publish(live, p.row, p.since)
	})
	for _, s := range t.subs {
		s.st.newest.Store(int64(s.at))
	}
	return nil
}
