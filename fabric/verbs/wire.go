package verbs

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/fabric"
)

// Immediate data.
const (
	immWake    = 0
	immMessage = 1
	immNotes   = 2
	immCredits = 3

	immLast    = 1 << 27
	immKind    = 28
	maxCredits = 1<<16 - 1
)

// Kinds of notes.
const (
	noteRegion    = 1
	noteRevoke    = 2
	noteRevoked   = 3
	noteDiscarded = 4
	noteWanted    = 5
	noteAbsent    = 6
)

const noteSize = 32

// note is what the readers of a link tell each other, in order with all else.
type note struct {
	kind uint32
	key  uint32
	id   fabric.RegionID
	addr uint64
	size uint64
}

func (n note) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, n.kind)
	b = binary.LittleEndian.AppendUint32(b, n.key)
	b = binary.LittleEndian.AppendUint64(b, uint64(n.id))
	b = binary.LittleEndian.AppendUint64(b, n.addr)
	return binary.LittleEndian.AppendUint64(b, n.size)
}

// eachNote decodes a chunk of notes.
func eachNote(b []byte, fn func(note) error) error {
	if len(b)%noteSize != 0 {
		return errs.New(errs.Corrupt, "%d bytes are no whole number of notes", len(b))
	}
	for ; len(b) > 0; b = b[noteSize:] {
		n := note{
			kind: binary.LittleEndian.Uint32(b), key: binary.LittleEndian.Uint32(b[4:]),
			id:   fabric.RegionID(binary.LittleEndian.Uint64(b[8:])),
			addr: binary.LittleEndian.Uint64(b[16:]), size: binary.LittleEndian.Uint64(b[24:]),
		}
		valid := n.addr+n.size >= n.addr && n.size <= 1<<47
		if n.kind != noteRegion {
			valid = n.key == 0 && n.addr == 0 && n.size == 0
		}
		if !valid || n.kind < noteRegion || n.kind > noteAbsent {
			return errs.New(errs.Corrupt, "note of kind %d about %#x makes no sense", n.kind, uint64(n.id))
		}
		if err := fn(n); err != nil {
			return err
		}
	}
	return nil
}

// Kinds of what the two ends say over the TCP connection before a link is up.
const (
	sayOffer     = 1
	sayConnected = 2
	sayResult    = 3
)

const (
	sayMagic  = "dfsQ"
	sayFormat = 1
	saySize   = 48
	maxReason = 512
)

// Flags of a saying.
const (
	saysYes      = 1 // Offer: there is an adapter; Result: the pair works
	saysEthernet = 2
	saysRequired = 4 // over verbs or not at all
)

// saying is one message of the agreement about a link.
//
//	offset size field
//	     0    4 magic "dfsQ"
//	     4    1 format
//	     5    1 kind
//	     6    1 flags
//	     7    1 mtu
//	     8    4 number of the queue pair
//	    12    4 first packet's sequence number
//	    16    2 lid
//	    18    2 receive slots
//	    20    4 bytes of a receive slot
//	    24   16 gid
//	    40    8 zero
//	    48      reason, if the answer is no
type saying struct {
	kind            uint8
	yes, required   bool
	end             endpoint
	receives, chunk int
	reason          string
}

func (s saying) encode() []byte {
	b := make([]byte, saySize, saySize+maxReason)
	copy(b, sayMagic)
	b[4], b[5], b[7] = sayFormat, s.kind, s.end.mtu
	for flag, set := range map[byte]bool{saysYes: s.yes, saysEthernet: s.end.ethernet, saysRequired: s.required} {
		if set {
			b[6] |= flag
		}
	}
	binary.LittleEndian.PutUint32(b[8:], s.end.number)
	binary.LittleEndian.PutUint32(b[12:], s.end.sequence)
	binary.LittleEndian.PutUint16(b[16:], s.end.lid)
	binary.LittleEndian.PutUint16(b[18:], uint16(s.receives))
	binary.LittleEndian.PutUint32(b[20:], uint32(s.chunk))
	copy(b[24:40], s.end.gid[:])
	return append(b, s.reason[:min(len(s.reason), maxReason)]...)
}

func decodeSaying(b []byte) (s saying, err error) {
	if len(b) < saySize || len(b) > saySize+maxReason || string(b[:4]) != sayMagic {
		return s, errs.New(errs.Corrupt, "%d bytes are no agreement about a link", len(b))
	}
	if b[4] != sayFormat {
		return s, errs.New(errs.NotSupported, "the peer agrees about links in format %d, this node in %d; run the same version on both", b[4], sayFormat)
	}
	flags := b[6]
	s = saying{
		kind: b[5], yes: flags&saysYes != 0, required: flags&saysRequired != 0,
		end: endpoint{
			number: binary.LittleEndian.Uint32(b[8:]), sequence: binary.LittleEndian.Uint32(b[12:]),
			lid: binary.LittleEndian.Uint16(b[16:]), ethernet: flags&saysEthernet != 0, mtu: b[7], gid: [16]byte(b[24:40]),
		},
		receives: int(binary.LittleEndian.Uint16(b[18:])), chunk: int(binary.LittleEndian.Uint32(b[20:])),
		reason: string(b[saySize:]),
	}
	valid := s.kind >= sayOffer && s.kind <= sayResult && flags < 8
	if s.kind == sayOffer && s.yes {
		valid = valid && s.end.mtu >= 1 && s.end.mtu <= 5 && s.end.number < 1<<24 && s.end.sequence < 1<<24 &&
			s.receives >= minReceives && s.chunk >= minChunk && s.chunk <= fabric.MaxMessage
	}
	if !valid {
		return s, errs.New(errs.Corrupt, "the peer says kind %d with flags %#x about a link, which makes no sense", s.kind, flags)
	}
	return s, nil
}
