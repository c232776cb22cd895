package record

import (
	"bytes"
	"errors"
	"testing"

	"dfs/errs"
)

// R4: a hollow record is as the full one, without the data, and verifies that.
func TestHollow(t *testing.T) {
	for _, n := range []int{1, 4096, 4097, 100_000} {
		data := bytes.Repeat([]byte("0123456789abc"), n/13+1)[:n]
		r := build("operation", data)
		h := r.Hollowed()
		if !h.Hollow() || r.Hollow() || len(h) != r.DataOffset() || len(h)%Align != 0 {
			t.Fatalf("%d bytes: hollow %v of %d bytes", n, h.Hollow(), len(h))
		}
		h.Deliver(9, 100)
		h.Finish(640, 3)
		got, err := Parse(append(bytes.Clone(h), 0xff))
		if err != nil || got.VerifyData() != nil || got.Size() != len(h) || got.Data() != nil || string(got.Op()) != "operation" {
			t.Fatalf("%d bytes: %v", n, err)
		}
		r.Deliver(9, 100)
		r.Finish(640, 3)
		if got.Header() != r.Header() || !bytes.Equal(got[4:], r[4:r.DataOffset()]) || !got.SameData(r) || got.DataLen() != n {
			t.Fatalf("%d bytes: the head differs", n)
		}
		if size, err := PeekSize(h); err != nil || size != len(h) {
			t.Fatalf("%d bytes: size %d, %v", n, size, err)
		}
		if !got.VerifyPart(0, data) || n > BlockSize && !got.VerifyPart(BlockSize, data[BlockSize:]) {
			t.Fatalf("%d bytes: the data does not verify", n)
		}
		data[n-1] ^= 1
		if got.VerifyPart(0, data) || got.VerifyPart(0, nil) || got.VerifyPart(1, data[1:]) {
			t.Fatalf("%d bytes: other data verifies", n)
		}
		if again := h.Hollowed(); &again[0] != &h[0] {
			t.Fatal("made hollow twice")
		}
	}
	if r := build("op", nil); r.Hollowed().Hollow() {
		t.Fatal("a record without data is hollow")
	}
	r := build("op", nil)
	copy(r, "dfsH")
	if _, err := Parse(r); !errors.Is(err, errs.Corrupt) {
		t.Fatalf("hollow with nothing to leave out: %v", err)
	}
}
