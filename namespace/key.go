package namespace

import (
	"encoding/binary"

	"dfs/ids"
)

// The first byte of a key says which table it belongs to.
const (
	tableDirent  = 'd'
	tableInode   = 'i'
	tableNode    = 'n'
	tableOrphan  = 'o'
	tableCounter = 's'
	tableClaim   = 't'
	tableXattr   = 'x'
	tableLock    = 'y'
	tableWait    = 'z'
)

// passing says whether a key is of interest only as it is now: nothing of its past is kept.
func passing(key []byte) bool { return key[0] == tableLock || key[0] == tableWait }

func inoKey(table byte, ino ids.Ino, extra int) []byte {
	k := make([]byte, 9, 9+extra)
	k[0] = table
	binary.BigEndian.PutUint64(k[1:], uint64(ino))
	return k
}

// inoRange returns the bounds of all keys of a table that belong to one inode.
func inoRange(table byte, ino ids.Ino) (from, to []byte) {
	return inoKey(table, ino, 0), inoKey(table, ino+1, 0)
}

// tableRange returns the bounds of a table.
func tableRange(table byte) (from, to []byte) { return []byte{table}, []byte{table + 1} }

func keyIno(key []byte) ids.Ino { return ids.Ino(binary.BigEndian.Uint64(key[1:])) }

// keyName returns what follows the inode number in the key of a directory entry or an attribute.
func keyName(key []byte) string { return string(key[9:]) }

// InodeKey returns the key of an inode's record; DecodeInode reads its value.
func InodeKey(ino ids.Ino) []byte { return inoKey(tableInode, ino, 0) }

// DirentKey returns the key of a directory entry; DecodeDirent reads its value.
func DirentKey(parent ids.Ino, name string) []byte {
	return append(inoKey(tableDirent, parent, len(name)), name...)
}

// XattrKey returns the key of an extended attribute; its value is the attribute's value.
func XattrKey(ino ids.Ino, name string) []byte {
	return append(inoKey(tableXattr, ino, len(name)), name...)
}

func orphanKey(ino ids.Ino) []byte { return inoKey(tableOrphan, ino, 0) }

func counterKey() []byte { return []byte{tableCounter} }
