package tcp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"dfs/fabric"
)

// reference stores a whole stream the slow and plain way. It returns the memory, the messages, the
// writes discarded, and whether the stream is malformed.
func reference(stream []byte, size int) (mem []byte, msgs [][]byte, discarded uint64, bad bool) {
	mem = make([]byte, size)
	for len(stream) >= headerSize {
		kind, n := binary.LittleEndian.Uint32(stream), int(binary.LittleEndian.Uint32(stream[4:]))
		id, off := binary.LittleEndian.Uint64(stream[8:]), binary.LittleEndian.Uint64(stream[16:])
		switch {
		case kind == frameWrite && n <= maxPayload:
		case kind == frameWords && n <= maxPayload && n%8 == 0 && off%8 == 0:
		case kind == frameMessage && n <= fabric.MaxMessage && id == 0 && off == 0:
		default:
			return mem, msgs, discarded, true
		}
		whole := n <= len(stream)-headerSize
		payload := stream[headerSize:]
		payload = payload[:min(n, len(payload))]
		stream = stream[headerSize+len(payload):]
		switch {
		case kind == frameMessage && whole:
			msgs = append(msgs, payload)
		case kind == frameMessage:
		case id != 1 || off > uint64(size) || uint64(n) > uint64(size)-off:
			discarded++
		case kind == frameWords:
			copy(mem[off:], payload[:len(payload)&^7])
		default:
			copy(mem[off:], payload)
		}
	}
	return mem, msgs, discarded, false
}

// feed cuts a stream at random and gives it to a decoder, part of it through direct as a socket would.
func feed(d *decoder, stream []byte, rng *rand.Rand) error {
	for len(stream) > 0 {
		n := min(1+rng.IntN(1<<rng.IntN(14)), len(stream))
		if rng.IntN(2) == 0 {
			d.regions.mu.RLock()
			k := copy(d.direct(), stream[:n])
			d.advance(k)
			d.regions.mu.RUnlock()
			stream, n = stream[k:], n-k
		}
		if err := d.consume(stream[:n]); err != nil {
			return err
		}
		stream = stream[n:]
	}
	return nil
}

func testDecoder(t *testing.T, stream []byte, seed uint64) {
	const size = 1 << 15
	var discarded atomic.Uint64
	var msgs [][]byte
	mem := fabric.Alloc(size)
	regions := &registry{regions: map[fabric.RegionID]*region{}}
	regions.add(1, mem)
	d := &decoder{regions: regions, discarded: &discarded, message: func(msg []byte) { msgs = append(msgs, msg) }}
	err := feed(d, stream, rand.New(rand.NewPCG(seed, 0)))
	wantMem, wantMsgs, wantDiscarded, wantBad := reference(stream, size)
	if (err != nil) != wantBad {
		t.Fatalf("error %v, want one: %v", err, wantBad)
	}
	if !bytes.Equal(mem, wantMem) || discarded.Load() != wantDiscarded || len(msgs) != len(wantMsgs) {
		t.Fatalf("memory equal: %v; %d discarded, want %d; %d messages, want %d",
			bytes.Equal(mem, wantMem), discarded.Load(), wantDiscarded, len(msgs), len(wantMsgs))
	}
	for i := range msgs {
		if !bytes.Equal(msgs[i], wantMsgs[i]) {
			t.Fatalf("message %d is %q, want %q", i, msgs[i], wantMsgs[i])
		}
	}
}

// randomStream makes frames as a sender would, now and then with nonsense in them.
func randomStream(rng *rand.Rand) []byte {
	b := &batch{}
	for range 1 + rng.IntN(20) {
		id := fabric.RegionID(1)
		if rng.IntN(8) == 0 {
			id = 2
		}
		payload := make([]byte, rng.IntN(1<<rng.IntN(15)))
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		switch rng.IntN(3) {
		case 0:
			b.write(id, rng.IntN(1<<15), payload)
		case 1:
			words := make([]uint64, rng.IntN(40))
			for i := range words {
				words[i] = rng.Uint64()
			}
			b.words(id, rng.IntN(1<<12)*8, words)
		default:
			b.message(payload)
		}
	}
	var stream []byte
	for i := range b.pieces {
		stream = append(stream, b.rest(i)...)
	}
	if rng.IntN(3) == 0 {
		stream = stream[:rng.IntN(len(stream)+1)]
	}
	if rng.IntN(4) == 0 && len(stream) > 0 {
		stream[rng.IntN(len(stream))] ^= 1 << rng.IntN(8)
	}
	return stream
}

// F1, F2, F4, K4: wherever the stream is cut, the decoder does what the reference does.
func TestDecoderRandomStreams(t *testing.T) {
	for seed := range uint64(800) {
		testDecoder(t, randomStream(rand.New(rand.NewPCG(seed, 1))), seed)
	}
}

func FuzzDecoder(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomStream(rand.New(rand.NewPCG(seed, 2))), seed)
	}
	f.Fuzz(testDecoder)
}

// K4: a header that claims a long message makes the decoder allocate no more than what came.
func TestDecoderAllocatesWhatCame(t *testing.T) {
	var head [headerSize]byte
	header{kind: frameMessage, size: fabric.MaxMessage}.put(head[:])
	d := &decoder{regions: &registry{}, discarded: new(atomic.Uint64)}
	if err := d.consume(append(head[:], make([]byte, 100)...)); err != nil {
		t.Fatal(err)
	}
	if cap(d.msg) > 1024 {
		t.Errorf("100 bytes came, and %d were allocated", cap(d.msg))
	}
	header{kind: frameMessage, size: fabric.MaxMessage + 1}.put(head[:])
	d = &decoder{regions: &registry{}, discarded: new(atomic.Uint64)}
	if err := d.consume(head[:]); err == nil {
		t.Error("a message longer than fabric.MaxMessage was begun")
	}
}

// K1: a batch sends the same bytes wherever the socket stops taking them.
func TestBatchAdvance(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	b := &batch{}
	for range 50 {
		b.write(1, 8, make([]byte, rng.IntN(3*copyMax)))
		b.words(1, 8, []uint64{rng.Uint64()})
	}
	var whole, cut []byte
	for i := range b.pieces {
		whole = append(whole, b.rest(i)...)
	}
	if len(whole) != b.size {
		t.Fatalf("size %d, but %d bytes", b.size, len(whole))
	}
	for !b.done() {
		part := b.rest(0)
		part = part[:1+rng.IntN(len(part))]
		cut = append(cut, part...)
		b.advance(len(part))
	}
	if !bytes.Equal(whole, cut) {
		t.Error("bytes differ")
	}
	b.reset()
	if !b.empty() || b.size != 0 || len(b.own) != 0 {
		t.Error("reset left something")
	}
}

// Words for the place of the last frame replace it; anything queued in between prevents that (F1).
func TestBatchReplaces(t *testing.T) {
	b := &batch{}
	b.words(1, 8, []uint64{1})
	one := b.size
	b.words(1, 8, []uint64{2})
	if b.size != one || binary.LittleEndian.Uint64(b.own[headerSize:]) != 2 {
		t.Errorf("not replaced: %d bytes", b.size)
	}
	for i, queue := range []func(){
		func() { b.words(1, 16, []uint64{3}) },
		func() { b.words(2, 8, []uint64{3}) },
		func() { b.words(1, 8, []uint64{3, 4}) },
		func() { b.write(1, 8, []byte("x")) },
		func() { b.write(1, 8, make([]byte, copyMax+1)) },
		func() { b.message(nil) },
	} {
		b.words(1, 8, []uint64{1})
		queue()
		before := b.size
		b.words(1, 8, []uint64{5})
		if b.size == before {
			t.Errorf("case %d: words were replaced though something was queued after them", i)
		}
	}
}
