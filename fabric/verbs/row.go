package verbs

import "encoding/binary"

// row is what the last WriteWords has stored at one place of a peer's region. A word that is as it was need not be sent
// again, and most words of a row of counters are: software that stores three words in order with one write so sends one or two
// for a row in place of six.
type row struct {
	off   int
	words []byte
	known int // so many bytes of words have been posted
}

// row returns what is known of the place that o writes to, nil if o is of bytes. One place of each region is remembered, until
// something else is written across it.
func (l *link) row(o *op, size int) *row {
	r := l.rows[o.region]
	if o.kind != opWords {
		if r != nil && o.off < r.off+len(r.words) && r.off < o.off+size {
			delete(l.rows, o.region)
		}
		return nil
	}
	if r == nil || r.off != o.off || len(r.words) != size {
		r = &row{off: o.off, words: make([]byte, size)}
		l.rows[o.region] = r
	}
	return r
}

func (r *row) isSame(b []byte, at int) bool {
	return at+8 <= r.known && binary.NativeEndian.Uint64(b[at:]) == binary.NativeEndian.Uint64(r.words[at:])
}

// same returns where the first word at or behind a place lies that is not as it was.
func (r *row) same(b []byte, at int) int {
	for at < len(b) && r.isSame(b, at) {
		at += 8
	}
	return at
}

// changed returns how many of n bytes are left without the words at their end that are as they were.
func (r *row) changed(b []byte, at, n int) int {
	for n > 8 && r.isSame(b, at+n-8) {
		n -= 8
	}
	return n
}

// posted takes note of words that are on their way.
func (r *row) posted(b []byte, at int) {
	copy(r.words[at:], b)
	r.known = max(r.known, at+len(b))
}
