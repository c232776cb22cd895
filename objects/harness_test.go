package objects

import (
	"bytes"
	"fmt"
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

const shard ids.Subgroup = 1

// harness is a data shard over an index in memory, with a log that only keeps data, and a clock that
// goes in steps of 10.
type harness struct {
	t    testing.TB
	x    *index.Index
	now  hlc.Timestamp
	log  map[uint64][]byte // data by LSN
	next uint64            // LSN
	step uint64            // between LSNs, so that replicas differ
}

func newHarness(t testing.TB) *harness {
	return &harness{t: t, x: index.New(index.NewMem(), index.Config{}), log: map[uint64][]byte{}, next: 64, step: 64}
}

// inLog puts data into the log behind some other bytes of the same record.
func (h *harness) inLog(data []byte) DataRef {
	const before = 5
	lsn := h.next
	h.log[lsn] = append(bytes.Repeat([]byte{'#'}, before), data...)
	h.next += h.step
	return DataRef{LSN: lsn, Off: before, Len: len(data)}
}

func (h *harness) apply(op, data []byte) (errs.Kind, []byte) {
	h.now += 10
	tx := h.x.Begin()
	kind, body := Apply(tx.Writer(shard, h.now), h.now, op, h.inLog(data))
	if err := tx.Commit(); err != nil {
		h.t.Fatal(err)
	}
	return kind, body
}

func (h *harness) do(op Op, data []byte) (errs.Kind, []byte) { return h.apply(op.Encode(), data) }

func (h *harness) must(op Op, data []byte) []byte {
	h.t.Helper()
	kind, body := h.do(op, data)
	if kind != errs.OK {
		h.t.Fatalf("%+v: %v", op, kind)
	}
	return body
}

func (h *harness) at(t hlc.Timestamp) index.Reader { return h.x.At(shard, t) }
func (h *harness) r() index.Reader                 { return h.at(h.now) }

// check verifies O2, O3 and O6.
func (h *harness) check() {
	h.t.Helper()
	Check(h.r(), func(problem string) { h.t.Error(problem) })
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// read returns bytes of a file as the mount would put them together.
func (h *harness) read(r index.Reader, ino ids.Ino, off, length int64) []byte {
	var out []byte
	n := Map(r, ino, off, length, func(p Piece) bool {
		if p.FileOff != off+int64(len(out)) {
			h.t.Fatalf("O2: piece %+v comes at %d", p, off+int64(len(out)))
		}
		if p.Hole {
			out = append(out, make([]byte, p.Len)...)
		} else {
			out = append(out, h.log[p.LSN][p.Off:p.Off+p.Len]...)
		}
		return true
	})
	if n != int64(len(out)) {
		h.t.Fatalf("Map says %d bytes, told of %d", n, len(out))
	}
	return out
}

// describe prints a file's attributes, without the times that were never set.
func describe(a Attr) string {
	s := fmt.Sprintf("size=%d bytes=%d extents=%d epoch=%d", a.Size, a.Bytes, a.Extents, a.Epoch)
	for _, f := range []struct {
		name string
		bit  TimeMask
		at   int64
	}{{"a", AtimeSet, a.Atime}, {"m", MtimeSet, a.Mtime}, {"c", CtimeSet, a.Ctime}} {
		if a.Set&f.bit != 0 {
			s += fmt.Sprintf(" %s=%d", f.name, f.at)
		}
	}
	return s
}
