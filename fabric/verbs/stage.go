package verbs

// stage is registered memory to send copies from: a ring, of which [head, tail) is on its way.
type stage struct {
	mem        []byte
	key        key
	head, tail uint64
}

// fill copies b into the stage and points r there. It reports false if there is no room.
func (s *stage) fill(r *request, b []byte, inline int) bool {
	if len(b) == 0 {
		return true
	}
	size := uint64(len(s.mem))
	need := (uint64(len(b)) + 63) &^ 63
	at := s.tail % size
	if at+need > size { // not around the end
		need += size - at
		at = 0
	}
	if s.tail+need-s.head > size {
		return false
	}
	s.tail += need
	copy(s.mem[at:], b)
	r.local, r.lkey = s.key.addr+at, s.key.local
	if len(b) <= inline {
		r.flags |= flagInline
	}
	return true
}
