package objects

import (
	"encoding/binary"

	"dfs/ids"
)

// The first byte of a key says which table it belongs to.
const (
	tableAttr    = 'a'
	tableExtent  = 'e'
	tableGarbage = 'g'
	tableCounter = 's'
)

const extentKeySize = 1 + 8 + 4 + 8

// AttrKey returns the key of a file's attributes; DecodeAttr reads its value. It changes with every
// change of the file.
func AttrKey(ino ids.Ino) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), tableAttr), uint64(ino))
}

// ExtentKey returns the key of the extent that begins at an offset; DecodeExtent reads key and value.
func ExtentKey(ino ids.Ino, epoch Epoch, off int64) []byte {
	k := append(make([]byte, 0, extentKeySize), tableExtent)
	k = binary.BigEndian.AppendUint64(k, uint64(ino))
	k = binary.BigEndian.AppendUint32(k, uint32(epoch))
	return binary.BigEndian.AppendUint64(k, uint64(off))
}

func garbageKey(ino ids.Ino, epoch Epoch) []byte {
	k := binary.BigEndian.AppendUint64(append(make([]byte, 0, 13), tableGarbage), uint64(ino))
	return binary.BigEndian.AppendUint32(k, uint32(epoch))
}

func parseGarbageKey(k []byte) (ids.Ino, Epoch) {
	return ids.Ino(binary.BigEndian.Uint64(k[1:])), Epoch(binary.BigEndian.Uint32(k[9:]))
}

func counterKey() []byte { return []byte{tableCounter} }

// tableRange returns the bounds of a table.
func tableRange(table byte) (from, to []byte) { return []byte{table}, []byte{table + 1} }
