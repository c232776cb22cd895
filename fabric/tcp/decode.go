package tcp

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// directMin is the least rest of a payload that is worth reading straight into the region. Less
// is cheaper to copy from the buffer that later frames are read into anyway.
const directMin = 4096

// decoder turns the byte stream of one connection, cut anywhere, into stores into registered memory and
// messages. It does no I/O.
type decoder struct {
	regions   *registry
	message   func(msg []byte) // called with no lock held
	discarded *atomic.Uint64   // F4

	head  [headerSize]byte // a header cut by the end of what was read
	headN int

	open   bool    // a frame's header was read, its end was not
	h      header  // of that frame
	left   int     // bytes of payload to come
	target *region // where they go; nil: nowhere (F4)
	at     int     // offset in target of the next byte, or of the word begun
	word   [8]byte // a word cut by the end of what was read
	wordN  int
	msg    []byte // of a message, what has come

	landed bool // something was stored since the owner was last woken
}

// consume takes the next bytes of the stream. After an error the stream makes no sense any more.
func (d *decoder) consume(p []byte) error {
	d.regions.mu.RLock()
	defer d.regions.mu.RUnlock()
	for len(p) > 0 {
		if !d.open {
			var err error
			if p, err = d.header(p); err != nil {
				return err
			}
			if !d.open {
				return nil
			}
		}
		k := min(len(p), d.left)
		d.payload(p[:k])
		p = p[k:]
		if d.left == 0 {
			d.end()
		}
	}
	return nil
}

// header takes bytes of a header and opens the frame when it is whole.
func (d *decoder) header(p []byte) ([]byte, error) {
	src := p
	if d.headN == 0 && len(p) >= headerSize {
		p = p[headerSize:]
	} else {
		k := copy(d.head[d.headN:], p)
		p = p[k:]
		if d.headN += k; d.headN < headerSize {
			return p, nil
		}
		src, d.headN = d.head[:], 0
	}
	h, err := parseHeader(src)
	if err != nil {
		return nil, err
	}
	d.open, d.h, d.left, d.target = true, h, h.size, nil
	if h.kind != frameMessage {
		if d.target = d.regions.findLocked(h.region, h.off, h.size); d.target == nil {
			d.discarded.Add(1)
		} else {
			d.at = int(h.off)
		}
	}
	return p, nil
}

// payload takes bytes of the open frame's payload, at most what is left of it.
func (d *decoder) payload(p []byte) {
	d.left -= len(p)
	if d.h.kind == frameMessage {
		d.msg = append(d.msg, p...) // grows by what came, whatever the header claimed (K4)
		return
	}
	mem := d.memory()
	if mem == nil {
		return
	}
	if d.h.kind == frameWrite {
		d.at += copy(mem[d.at:], p)
		return
	}
	d.words(mem, p)
}

// memory returns the open frame's region, nil if there is none or it was deregistered meanwhile.
func (d *decoder) memory() []byte {
	if d.target == nil {
		return nil
	}
	if d.target.mem == nil {
		d.target = nil
		d.discarded.Add(1)
		return nil
	}
	return d.target.mem
}

// words stores whole words, ascending (F2), and keeps a cut one for later.
func (d *decoder) words(mem, p []byte) {
	for len(p) > 0 {
		src := p
		if d.wordN == 0 && len(p) >= 8 {
			p = p[8:]
		} else {
			k := copy(d.word[d.wordN:], p)
			p = p[k:]
			if d.wordN += k; d.wordN < 8 {
				return
			}
			src, d.wordN = d.word[:], 0
		}
		atomic.StoreUint64((*uint64)(unsafe.Pointer(&mem[d.at])), binary.LittleEndian.Uint64(src))
		d.at += 8
	}
}

// end closes the open frame, whose payload is complete.
func (d *decoder) end() {
	d.open, d.wordN = false, 0
	if d.h.kind != frameMessage {
		d.landed = d.landed || d.target != nil
		d.target = nil
		return
	}
	msg := d.msg
	d.msg = nil
	d.regions.mu.RUnlock()
	defer d.regions.mu.RLock()
	d.message(msg)
}

// direct returns the memory that the next bytes of the stream belong into, if it is worth reading them
// straight there; else nil. advance tells how many came. Both under the registry's lock.
func (d *decoder) direct() []byte {
	if !d.open || d.h.kind != frameWrite || d.left < directMin {
		return nil
	}
	mem := d.memory()
	if mem == nil {
		return nil
	}
	return mem[d.at : d.at+d.left]
}

func (d *decoder) advance(n int) {
	d.at += n
	d.left -= n
	if d.open && d.left == 0 {
		d.end()
	}
}
