package sst

import "sync/atomic"

// load copies a row that the fabric may be storing at this moment, from its last word down to its first
// (S3), and reports whether it differs from prev.
func load(dst, src, prev []uint64) (changed bool) {
	for i := len(src) - 1; i >= 0; i-- {
		dst[i] = atomic.LoadUint64(&src[i])
		changed = changed || dst[i] != prev[i]
	}
	return changed
}

// store sets a word of the own row. The table's owner is its only writer; the store is atomic for the
// sake of those who print the table meanwhile.
func store(word *uint64, v uint64) { atomic.StoreUint64(word, v) }
