package versionlog

import (
	"encoding/binary"
	"fmt"

	"dfs/errs"
	"dfs/record"
)

// HollowError says that a record has no data in this log (L9). It is of kind errs.Unavailable.
type HollowError struct{ LSN LSN }

func (e *HollowError) Error() string {
	return fmt.Sprintf("the data of the record at position %d is not kept here", e.LSN)
}

// Unwrap returns the kind.
func (e *HollowError) Unwrap() error { return errs.Unavailable }

// CopyOf makes a record to be appended, a Copy of the data of the hollow record whose head is given, as it lies in this
// log. It fails with errs.Corrupt if the data is other data.
func CopyOf(head record.Record, data []byte) (record.Record, error) {
	if len(data) != head.DataLen() {
		return nil, errs.New(errs.Corrupt, "a copy of %d bytes of a record with %d at position %d", len(data), head.DataLen(), head.Position())
	}
	h := head.Header()
	h.Kind = record.Copy
	op := binary.LittleEndian.AppendUint64(nil, h.Position)
	c := record.Build(make([]byte, record.Size(len(op), len(data))), h, op, data)
	if !c.SameData(head) {
		return nil, errs.New(errs.Corrupt, "a copy of the record at position %d has other data", head.Position())
	}
	return c, nil
}

// CopiedFrom returns the position of the hollow record that a Copy is of. It fails with errs.Corrupt.
func CopiedFrom(c record.Record) (LSN, error) {
	if c.Kind() != record.Copy || len(c.Op()) != 8 {
		return 0, errs.New(errs.Corrupt, "record at position %d is no copy", c.Position())
	}
	return LSN(binary.LittleEndian.Uint64(c.Op())), nil
}
