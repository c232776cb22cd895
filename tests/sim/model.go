package sim

import (
	"bytes"
	"slices"
	"sort"

	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// model is the state that the order leads to, kept as simply as can be: every key with all the values it ever
// had. Package index has to say the same.
type model struct {
	subs map[ids.Subgroup]*table
}

type table struct {
	keys []string // all that ever were, sorted
	past map[string][]value
	// passing are the keys of which only the newest value can be seen. The others are kept for cut.
	passing map[string]bool
}

// value is what a key became at a moment.
type value struct {
	at      hlc.Timestamp
	bytes   []byte
	deleted bool
}

func newModel() *model { return &model{subs: map[ids.Subgroup]*table{}} }

func (m *model) table(sub ids.Subgroup) *table {
	t := m.subs[sub]
	if t == nil {
		t = &table{past: map[string][]value{}, passing: map[string]bool{}}
		m.subs[sub] = t
	}
	return t
}

// at returns the state as of a moment.
func (m *model) at(sub ids.Subgroup, at hlc.Timestamp) index.Reader { return moment{m.table(sub), at} }

// writer changes the newest state, at a moment that is not before any other.
func (m *model) writer(sub ids.Subgroup, at hlc.Timestamp) index.Writer {
	return writer{moment{m.table(sub), at}}
}

// cut forgets everything from a moment on.
func (m *model) cut(from hlc.Timestamp) {
	for _, t := range m.subs {
		for key, past := range t.past {
			n := len(past)
			for n > 0 && past[n-1].at >= from {
				n--
			}
			t.past[key] = past[:n]
		}
	}
}

// moment is a table as of a moment.
type moment struct {
	t  *table
	at hlc.Timestamp
}

func (m moment) Get(key []byte) ([]byte, bool) {
	past := m.t.past[string(key)]
	n := sort.Search(len(past), func(i int) bool { return past[i].at > m.at })
	if n == 0 || past[n-1].deleted || n < len(past) && m.t.passing[string(key)] {
		return nil, false
	}
	return past[n-1].bytes, true
}

func (m moment) Scan(from, to []byte, fn func(key, value []byte) bool) {
	// Keys may come and go meanwhile, so each step looks again.
	for at, _ := slices.BinarySearch(m.t.keys, string(from)); at < len(m.t.keys); at++ {
		key := m.t.keys[at]
		if to != nil && key >= string(to) {
			return
		}
		if v, ok := m.Get([]byte(key)); ok && !fn([]byte(key), v) {
			return
		}
		if at >= len(m.t.keys) || m.t.keys[at] != key {
			at, _ = slices.BinarySearch(m.t.keys, key)
		}
	}
}

func (m moment) Last(from, to []byte) (key, val []byte, ok bool) {
	at := len(m.t.keys)
	if to != nil {
		at, _ = slices.BinarySearch(m.t.keys, string(to))
	}
	for at--; at >= 0 && m.t.keys[at] >= string(from); at-- {
		if v, ok := m.Get([]byte(m.t.keys[at])); ok {
			return []byte(m.t.keys[at]), bytes.Clone(v), true
		}
	}
	return nil, nil, false
}

type writer struct{ moment }

func (w writer) Put(key, val []byte) { w.set(key, value{at: w.at, bytes: bytes.Clone(val)}) }

func (w writer) Delete(key []byte) {
	if _, ok := w.Get(key); ok {
		w.set(key, value{at: w.at, deleted: true})
	}
}

func (w writer) PutPassing(key, val []byte) {
	w.t.passing[string(key)] = true
	w.Put(key, val)
}

func (w writer) DeletePassing(key []byte) { w.Delete(key) }

func (w writer) set(key []byte, v value) {
	k := string(key)
	past, known := w.t.past[k]
	if !known {
		at, _ := slices.BinarySearch(w.t.keys, k)
		w.t.keys = slices.Insert(w.t.keys, at, k)
	}
	if n := len(past); n > 0 && past[n-1].at == v.at {
		past = past[:n-1]
	}
	w.t.past[k] = append(past, v)
}
