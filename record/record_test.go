package record

import (
	"bytes"
	"errors"
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

func BenchmarkBuild4K(b *testing.B) {
	data, dst := make([]byte, 4096), make([]byte, Size(32, 4096))
	b.SetBytes(4096)
	for b.Loop() {
		Build(dst, Header{Kind: Op}, dst[:32], data)
	}
}
