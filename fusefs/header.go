package fusefs

import "encoding/binary"

// The layout of what the kernel sends, as far as the loop looks into it: fuse_in_header, and where a request says
// how large its reply may be.
const (
	inHeaderSize  = 40
	outHeaderSize = 16
	headRoom      = 4096 // a reader's buffer must hold more than the data: the header and the fixed part
	smallReply    = 8192 // READLINK, everything with a fixed size, and most requests
)

// header is the part of fuse_in_header that decides how a request is served.
type header struct {
	length, opcode uint32
	unique, node   uint64
}

func parseHeader(b []byte) (header, bool) {
	if len(b) < inHeaderSize {
		return header{}, false
	}
	h := header{
		length: binary.NativeEndian.Uint32(b), opcode: binary.NativeEndian.Uint32(b[4:]),
		unique: binary.NativeEndian.Uint64(b[8:]), node: binary.NativeEndian.Uint64(b[16:]),
	}
	return h, int(h.length) == len(b)
}

// replySize returns how many bytes the reply to a request may take.
func (h header) replySize(request []byte) int {
	at := 0
	switch h.opcode {
	case opRead, opReaddir, opReaddirplus:
		at = inHeaderSize + 16
	case opGetxattr, opListxattr:
		at = inHeaderSize
	case opIoctl:
		at = inHeaderSize + 28
	}
	if at == 0 || len(request) < at+4 {
		return smallReply
	}
	return smallReply + int(min(binary.NativeEndian.Uint32(request[at:]), maxIO))
}
