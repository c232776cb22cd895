package verbs

import (
	"fmt"

	"dfs/errs"
)

// poll takes completions of both queues, of the receive queue in so many looks at most, and posts what that made room for. It
// reports whether there may be more.
func (l *link) poll(looks int) (more bool) {
	if l.dead != nil {
		return false
	}
	l.pollSends()
	n := 0
	if l.dead == nil {
		var err error
		n, err = l.pair.poll(receiveQueue, l.comps, looks)
		l.check(err)
	}
	for i := 0; i < n && l.dead == nil; i++ {
		l.check(l.arrived(&l.comps[i]))
	}
	// Some at a time: the peer counts what it has. But no more wait here than are told late anyway.
	if all := l.f.cfg.sizes.receives; l.dead == nil && (len(l.slots) >= all/8 || l.owed+len(l.slots) >= all/2) {
		l.check(l.pair.receive(l.slots))
		l.owed += len(l.slots)
		l.slots = l.slots[:0]
	}
	l.pump()
	return n == len(l.comps)
}

// arrived takes one completion of a receive.
func (l *link) arrived(c *completion) error {
	s := &l.f.cfg.sizes
	if c.status != 0 {
		return fmt.Errorf("receiving: %s", statusText(c.status))
	}
	if c.id >= uint64(s.receives) || c.hasImm == 0 {
		return errs.New(errs.Corrupt, "a completion that nothing was posted for")
	}
	if l.credits += int(c.imm & maxCredits); l.credits > maxCredits {
		return errs.New(errs.Corrupt, "the peer gives more credits than it has")
	}
	l.slots = append(l.slots, uint32(c.id))
	l.f.received.Add(uint64(c.size))
	kind := c.imm >> immKind
	if kind == immWake {
		l.landed = true
		return nil
	}
	if c.size > uint32(s.chunk) {
		return errs.New(errs.Corrupt, "%d bytes in a slot of %d", c.size, s.chunk)
	}
	chunk := l.pair.slot(int(c.id))[:c.size]
	switch kind {
	case immMessage:
		return l.message(chunk, c.imm&immLast != 0)
	case immNotes:
		return eachNote(chunk, l.noted)
	case immCredits:
		return nil
	}
	return errs.New(errs.Corrupt, "immediate data %#x make no sense", c.imm)
}

// pollSends takes completions of what was posted.
func (l *link) pollSends() {
	for l.dead == nil && l.freed < l.signalled {
		n, err := l.pair.poll(sendQueue, l.comps, 1)
		if err != nil {
			l.fail(err)
			return
		}
		for _, c := range l.comps[:n] {
			if c.status != 0 {
				l.fail(fmt.Errorf("sending: %s", statusText(c.status)))
				return
			}
			if c.id+1 > l.freed && c.id < l.posted {
				l.freed = c.id + 1
				l.stage.head = l.ring[c.id%uint64(len(l.ring))].stage
			}
		}
		l.releaseSent()
		l.sendArmed = l.sendArmed && n == 0
		if n < len(l.comps) {
			return
		}
	}
}

// statusText names the states of completions, as enum ibv_wc_status counts them.
func statusText(status uint32) string {
	names := []string{
		"success", "local length error", "local queue pair operation error", "local EE context error", "local protection error",
		"flushed: the queue pair has ended", "memory window bind error", "bad response", "local access error", "the peer refused the request",
		"the peer refused the memory access", "the peer's operation failed", "the peer does not answer", "the peer has no receive slots",
	}
	if int(status) < len(names) {
		return names[status]
	}
	return fmt.Sprintf("status %d", status)
}
