package index

import (
	"encoding/binary"
	"math"

	"dfs/hlc"
	"dfs/ids"
)

// Layout of keys in the store: the first byte is the table.
//
//	1 name                                            meta values of the owner
//	2 subgroup(2)                                     the newest timestamp committed in the subgroup
//	3 subgroup(2) key                                 live
//	4 subgroup(2) escaped(key) 00 01 descending(8)    history
//
// escaped replaces 00 by 00 ff, so that what follows the key never decides between two keys. All
// numbers are big-endian, so that they sort; descending sorts later timestamps first.
const (
	tableMeta    = 1
	tableNewest  = 2
	tableLive    = 3
	tableHistory = 4
)

const (
	prefixLen  = 3 // table and subgroup
	sinceLen   = 8
	historyEnd = 2 + 8 // the terminator and the timestamp
)

func prefix(dst []byte, table byte, sub ids.Subgroup) []byte {
	return append(dst, table, byte(sub>>8), byte(sub))
}

func appendLive(dst []byte, sub ids.Subgroup, key []byte) []byte {
	return append(prefix(dst, tableLive, sub), key...)
}

// liveRange returns the bounds in the store of the keys [from, to); to == nil means no bound.
func liveRange(sub ids.Subgroup, from, to []byte) (lo, hi []byte) {
	lo = appendLive(make([]byte, 0, prefixLen+len(from)), sub, from)
	if to == nil {
		return lo, after(tableLive, sub)
	}
	return lo, appendLive(make([]byte, 0, prefixLen+len(to)), sub, to)
}

// after returns the end of the subgroup's part of a table.
func after(table byte, sub ids.Subgroup) []byte {
	if sub == math.MaxUint16 {
		return []byte{table + 1}
	}
	return prefix(nil, table, sub+1)
}

func appendEscaped(dst, key []byte) []byte {
	for _, c := range key {
		dst = append(dst, c)
		if c == 0 {
			dst = append(dst, 0xff)
		}
	}
	return dst
}

// appendHistory is the key of the row of key at or, for a seek, the place of the newest row not later.
func appendHistory(dst []byte, sub ids.Subgroup, key []byte, at hlc.Timestamp) []byte {
	dst = appendEscaped(prefix(dst, tableHistory, sub), key)
	dst = append(dst, 0, 1)
	return binary.BigEndian.AppendUint64(dst, descending(at))
}

// historyOf returns the bounds in the store of the rows of one key that are at or before at.
func historyOf(sub ids.Subgroup, key []byte, at hlc.Timestamp) (lo, hi []byte) {
	lo = appendHistory(make([]byte, 0, prefixLen+len(key)+historyEnd+8), sub, key, at)
	hi = append([]byte(nil), lo[:len(lo)-8]...)
	hi[len(hi)-1] = 2
	return lo, hi
}

// historyRange returns the bounds in the store of the rows of the keys [from, to).
func historyRange(sub ids.Subgroup, from, to []byte) (lo, hi []byte) {
	lo = appendEscaped(prefix(nil, tableHistory, sub), from)
	if to == nil {
		return lo, after(tableHistory, sub)
	}
	return lo, appendEscaped(prefix(nil, tableHistory, sub), to)
}

func descending(at hlc.Timestamp) uint64 { return ^(uint64(at) ^ 1<<63) }

// rowTime is the timestamp in a history key.
func rowTime(historyKey []byte) hlc.Timestamp {
	return hlc.Timestamp(^binary.BigEndian.Uint64(historyKey[len(historyKey)-8:]) ^ 1<<63)
}

func appendUnescaped(dst, escaped []byte) []byte {
	for i := 0; i < len(escaped); i++ {
		dst = append(dst, escaped[i])
		if escaped[i] == 0 {
			i++
		}
	}
	return dst
}

// A row is what live holds for a key, and history for a superseded value: since and the value. The
// same bytes move from the one to the other.
type row []byte

func appendRow(dst []byte, since hlc.Timestamp, value []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(since)), value...)
}

func (r row) since() hlc.Timestamp { return hlc.Timestamp(binary.BigEndian.Uint64(r)) }

func (r row) value() []byte { return r[sinceLen:len(r):len(r)] }

// deleted reports whether a history row says that the key was deleted.
func (r row) deleted() bool { return len(r) == 0 }
