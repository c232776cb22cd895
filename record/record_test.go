package record

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"dfs/errs"
)

func build(op string, data []byte) Record {
	return Build(make([]byte, Size(len(op), len(data))), Header{
		Position: 7, Timestamp: 11, Origin: 3, Incarnation: 5, Counter: 9, Subgroup: 2, Kind: Op,
	}, []byte(op), data[:len(data)/2], data[len(data)/2:])
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 4095, 4096, 4097, 100_000} {
		data := bytes.Repeat([]byte("0123456789abc"), n/13+1)[:n]
		r := build("operation", data)
		if len(r)%Align != 0 || r.DataOffset()%Align != 0 {
			t.Fatalf("%d bytes: record of %d, data at %d: not aligned", n, len(r), r.DataOffset())
		}
		got, err := Parse(append(bytes.Clone(r), 0xff))
		if err != nil || got.VerifyData() != nil || string(got.Op()) != "operation" || !bytes.Equal(got.Data(), data) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		want := Header{Position: 7, Timestamp: 11, Origin: 3, Incarnation: 5, Counter: 9, Subgroup: 2, Kind: Op, OpLen: 9, DataLen: uint32(n)}
		if got.Header() != want {
			t.Fatalf("header %+v, want %+v", got.Header(), want)
		}
	}
}

// R3: what delivery and the log fill in leaves the data verified.
func TestFinish(t *testing.T) {
	r := build("op", make([]byte, 5000))
	r.Stamp(99, 4)
	r.Deliver(1<<40|5, 100)
	r.Finish(1<<30, 17)
	got, err := Parse(r)
	if err != nil || got.VerifyData() != nil {
		t.Fatalf("after Finish: %v", err)
	}
	if h := got.Header(); h.Version != 1<<40|5 || h.Timestamp != 100 || h.Position != 1<<30 || h.Durable != 17 || h.Counter != 9 {
		t.Fatalf("header %+v", h)
	}
}

// R1 and R2: every flipped bit is found by Parse or by VerifyData, but for the padding.
func TestFlippedBits(t *testing.T) {
	r := build("operation", bytes.Repeat([]byte{0xa5}, 4100))
	head, dataAt, dataEnd := r.headEnd(), r.DataOffset(), r.DataOffset()+4100
	for i := range r {
		if i >= head && i < dataAt || i >= dataEnd {
			continue
		}
		for bit := range 8 {
			r[i] ^= 1 << bit
			got, err := Parse(r)
			if err == nil {
				err = got.VerifyData()
			}
			if !errors.Is(err, errs.Corrupt) {
				t.Fatalf("flip of bit %d of byte %d went unseen: %v", bit, i, err)
			}
			r[i] ^= 1 << bit
		}
	}
}

func TestPad(t *testing.T) {
	ring := make([]byte, 1<<20)
	r := BuildPad(ring, Header{Position: 3})
	if r.Size() != len(ring) {
		t.Fatalf("size %d", r.Size())
	}
	got, err := Parse(ring[:HeaderSize])
	if err != nil || got.Kind() != Pad || got.Size() != len(ring) || got.Data() != nil {
		t.Fatalf("%v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(build("operation", make([]byte, 5000))))
	f.Add([]byte(build("operation", make([]byte, 5000)).Hollowed()))
	f.Add([]byte(BuildPad(make([]byte, 256), Header{})))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			if !errors.Is(err, errs.Corrupt) {
				t.Fatalf("error without its kind: %v", err)
			}
			return
		}
		if len(r) > len(b) || r.Kind() != Pad && r.Size() != len(r) {
			t.Fatalf("record of %d bytes (%d) from %d", len(r), r.Size(), len(b))
		}
		_, _, _ = r.Header(), r.Op(), r.VerifyData()
		_, _ = r.Data(), r.Hollowed().Op()
	})
}

// However the data comes in pieces, the record and its sums are the same.
func TestPieces(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abc"), 3*BlockSize/13+7)
	h := Header{Origin: 3, Incarnation: 5, Counter: 9, Kind: Op}
	whole := Build(make([]byte, Size(2, len(data))), h, []byte("op"), data)
	if err := whole.VerifyData(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 7, BlockSize - 1, BlockSize, BlockSize + 1, 2 * BlockSize, len(data) - 1} {
		pieces := [][]byte{nil}
		for rest := data; len(rest) > 0; rest = rest[min(n, len(rest)):] {
			pieces = append(pieces, rest[:min(n, len(rest))], nil)
		}
		if r := Build(make([]byte, len(whole)), h, []byte("op"), pieces...); !bytes.Equal(r, whole) {
			t.Errorf("in pieces of %d bytes the record differs", n)
		}
	}
}

// BenchmarkBuild lays records into a ring that does not fit the processor's cache, as senders do.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{256, BlockSize, 16 * BlockSize, 256 * BlockSize} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data, ring, size := make([]byte, n), make([]byte, 16<<20), Size(0, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				Build(ring[at:at+size], Header{Kind: Op}, nil, data)
				if at += size; at+size > len(ring) {
					at = 0
				}
			}
		})
	}
}
