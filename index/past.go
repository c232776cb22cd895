package index

import (
	"bytes"
	"encoding/binary"

	"dfs/hlc"
	"dfs/ids"
)

// nearby is how many rows are stepped over before a seek is thought cheaper.
const nearby = 8

// merge is Scan where live may hold something beyond the view's moment: of each key either the live
// row, if it is old enough, or the newest row of history that is.
//
// The two iterators need not show the same instant. A commit between them changes no answer at the
// moment: the rows it adds to history are later than the moment, or copies of rows that live still
// shows and that are taken from there.
func (v *view) merge(live cursor, lo, from, to []byte, fn func(key, value []byte) bool) {
	past := v.pastKeys(from, to)
	defer past.it.close()
	past.first()
	live.SeekGE(lo)
	for live.Valid() || past.ok {
		order := past.compare(live)
		if order <= 0 && row(live.Value()).since() <= v.at {
			if !fn(live.Key()[prefixLen:], row(live.Value()).value()) {
				return
			}
		} else if order >= 0 {
			if value, ok := past.value(); ok && !fn(past.key, value) {
				return
			}
		}
		if order <= 0 {
			live.Next()
		}
		if order >= 0 {
			past.next()
		}
	}
}

// mergeLast is Last where live may hold something beyond the view's moment.
func (v *view) mergeLast(live cursor, hi, from, to []byte) (key, value []byte, ok bool) {
	past := v.pastKeys(from, to)
	defer past.it.close()
	past.last()
	live.SeekLT(hi)
	for live.Valid() || past.ok {
		order := past.compare(live)
		if !past.ok || !live.Valid() {
			order = -order // the only one comes first in this direction too
		}
		if order >= 0 && row(live.Value()).since() <= v.at {
			return bytes.Clone(live.Key()[prefixLen:]), bytes.Clone(row(live.Value()).value()), true
		}
		if order <= 0 {
			if value, ok := past.seekValue(); ok {
				return past.key, bytes.Clone(value), true
			}
			past.prev()
		}
		if order >= 0 {
			live.Prev()
		}
	}
	return nil, nil, false
}

// pastKeys walks the keys that have history, each once, and finds what their rows say about a moment.
type pastKeys struct {
	it     cursor
	at     hlc.Timestamp
	sub    ids.Subgroup
	lo, hi []byte
	ok     bool   // there is a present key
	key    []byte // the present key
	group  []byte // what its rows, and no others, begin with
	seek   []byte // scratch
}

func (v *view) pastKeys(from, to []byte) *pastKeys {
	lo, hi := historyRange(v.sub.id, from, to)
	return &pastKeys{it: v.x.iter(lo, hi), at: v.at, sub: v.sub.id, lo: lo, hi: hi}
}

func (p *pastKeys) first() { p.land(p.it.SeekGE(p.lo)) }
func (p *pastKeys) last()  { p.land(p.it.SeekLT(p.hi)) }

// prev moves to the key before the present one.
func (p *pastKeys) prev() { p.land(p.it.SeekLT(p.group)) }

// next moves to the key after the present one.
func (p *pastKeys) next() {
	for range nearby {
		if !p.it.Valid() || !p.inGroup() {
			p.land(p.it.Valid())
			return
		}
		p.it.Next()
	}
	p.seek = append(p.seek[:0], p.group...)
	p.seek[len(p.seek)-1]++
	p.land(p.it.SeekGE(p.seek))
}

// land makes the key of the row under the iterator the present one.
func (p *pastKeys) land(ok bool) {
	if p.ok = ok; ok {
		r := p.it.Key()
		p.group = append(p.group[:0], r[:len(r)-8]...)
		p.key = appendUnescaped(p.key[:0], p.group[prefixLen:len(p.group)-2])
	}
}

func (p *pastKeys) inGroup() bool { return bytes.HasPrefix(p.it.Key(), p.group) }

// seekValue returns the newest value of the present key that is not later than the moment, valid until
// the iterator moves.
func (p *pastKeys) seekValue() (value []byte, ok bool) {
	p.it.SeekGE(p.newest())
	if !p.it.Valid() || !p.inGroup() {
		return nil, false
	}
	return visible(p.it.Value())
}

// newest returns the place of the row that seekValue wants.
func (p *pastKeys) newest() []byte {
	p.seek = binary.BigEndian.AppendUint64(append(p.seek[:0], p.group...), descending(p.at))
	return p.seek
}

// value is seekValue for an iterator that stands on the first row of the key. It leaves it on a row of
// the key, or just behind them.
func (p *pastKeys) value() (value []byte, ok bool) {
	want := p.newest()
	for i := 0; p.it.Valid() && bytes.Compare(p.it.Key(), want) < 0; i++ {
		if i == nearby {
			return p.seekValue()
		}
		p.it.Next()
	}
	if !p.it.Valid() || !p.inGroup() {
		return nil, false
	}
	return visible(p.it.Value())
}

// compare orders the key under live against the present key of history. Where there is only one, it
// comes first.
func (p *pastKeys) compare(live cursor) int {
	switch {
	case !p.ok:
		return -1
	case !live.Valid():
		return 1
	}
	return bytes.Compare(live.Key()[prefixLen:], p.key)
}
