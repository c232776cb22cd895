package record

import (
	"bytes"
	"errors"
	"testing"

	"dfs/errs"
)

// R1: a head is verified without the data, and not when it is cut.
func TestParseHead(t *testing.T) {
	data := make([]byte, 100_000)
	r := build("operation", data)
	n, err := HeadSize(r[:HeaderSize])
	if err != nil || n != HeaderSize+4*25+len("operation") {
		t.Fatalf("head of %d bytes, %v", n, err)
	}
	head, err := ParseHead(r[:n])
	if err != nil || string(head.Op()) != "operation" || head.DataOffset() != r.DataOffset() || head.Header() != r.Header() {
		t.Fatalf("%v", err)
	}
	if !head.VerifyBlock(24, data[24*BlockSize:]) {
		t.Fatal("the last block does not verify")
	}
	for cut := range n {
		if _, err := ParseHead(r[:cut]); !errors.Is(err, errs.Corrupt) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for i := range n {
		r[i] ^= 0x10
		if _, err := ParseHead(r[:n]); !errors.Is(err, errs.Corrupt) {
			t.Fatalf("flip in byte %d went unseen: %v", i, err)
		}
		r[i] ^= 0x10
	}
}

// R1: HeadSize and ParseHead accept what Parse accepts.
func FuzzParseHead(f *testing.F) {
	f.Add([]byte(build("operation", make([]byte, 5000))))
	f.Add([]byte(build("operation", make([]byte, 5000)).Hollowed()))
	f.Add([]byte(BuildPad(make([]byte, 256), Header{})))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := ParseHead(b)
		if err != nil {
			if !errors.Is(err, errs.Corrupt) {
				t.Fatalf("error without its kind: %v", err)
			}
			if _, err := Parse(b); err == nil {
				t.Fatal("Parse accepts a record whose head is bad")
			}
			return
		}
		if len(head) > len(b) {
			t.Fatal("longer than its buffer")
		}
		_, _, _ = head.Header(), head.Op(), head.DataOffset()
	})
}

func TestPadHead(t *testing.T) {
	dst := make([]byte, 1<<12)
	if got, want := PadHead(len(dst), Header{Position: 64}), BuildPad(dst, Header{Position: 64}); !bytes.Equal(got, want[:HeaderSize]) {
		t.Fatalf("%x, want %x", got, want[:HeaderSize])
	}
}
