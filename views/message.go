package views

import (
	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// messageKind is the first number of an encoded message.
type messageKind uint64

const (
	reportMsg    messageKind = 1
	proposeMsg   messageKind = 2
	trimmedMsg   messageKind = 3
	deliverMsg   messageKind = 4
	readyMsg     messageKind = 5
	commitMsg    messageKind = 6
	installedMsg messageKind = 7
)

// proposal is a leader's plan for the next view.
type proposal struct {
	number   uint64     // of the leader's proposals in this life
	view     View       // to be installed
	attempts []uint64   // by rank: the attempt of the report that the plan rests on (V4)
	base     ids.ViewID // the view that ends; its survivors deliver the trim
	trim     *Trim      // nil without survivors and without a persisted trim
	source   ids.NodeID // whose log is complete once the trim is delivered
}

// message is any of the messages; the fields used depend on the kind.
type message struct {
	kind     messageKind
	report   Report
	plan     proposal
	number   uint64        // trimmed, deliver, ready, commit: the proposal meant
	attempt  uint64        // deliver, commit: the receiver's attempt; trimmed, ready: the sender's
	end      []ids.Version // ready
	view     ids.ViewID    // installed
	instance uint32        // installed: the sender's incarnation
}

func (m *message) encode() []byte {
	var e encoder
	e.u64(uint64(m.kind))
	switch m.kind {
	case reportMsg:
		r := &m.report
		e.member(r.Member)
		e.u64(r.Attempt)
		e.flag(r.Linked)
		e.u64(uint64(r.Installed))
		e.flag(r.Survivor)
		e.vectors(r.Received)
		e.trim(r.Trim)
		e.versions(r.End)
		e.u64(uint64(r.Floor))
	case proposeMsg:
		p := &m.plan
		e.u64(p.number)
		e.view(&p.view)
		e.vectors([][]uint64{p.attempts})
		e.u64(uint64(p.base))
		e.trim(p.trim)
		e.u64(uint64(p.source))
	case installedMsg:
		e.u64(uint64(m.view))
		e.u64(uint64(m.instance))
	default:
		e.u64(m.number)
		e.u64(m.attempt)
		e.versions(m.end)
	}
	return e.b
}

func decodeMessage(b []byte) (message, error) {
	d := decoder{b: b}
	m := message{kind: messageKind(d.u64())}
	switch m.kind {
	case reportMsg:
		r := &m.report
		r.Member = d.member()
		r.Attempt = d.u64()
		r.Linked = d.flag()
		r.Installed = ids.ViewID(d.u32())
		r.Survivor = d.flag()
		r.Received = d.vectors()
		r.Trim = d.trim()
		r.End = d.versions()
		r.Floor = hlc.Timestamp(d.u64())
	case proposeMsg:
		p := &m.plan
		p.number = d.u64()
		p.view = d.view()
		if v := d.vectors(); len(v) == 1 && len(v[0]) == len(p.view.Members) {
			p.attempts = v[0]
		} else {
			d.bad = true
		}
		p.base = ids.ViewID(d.u32())
		p.trim = d.trim()
		p.source = ids.NodeID(d.u32())
	case installedMsg:
		m.view = ids.ViewID(d.u32())
		m.instance = d.u32()
	case trimmedMsg, deliverMsg, readyMsg, commitMsg:
		m.number = d.u64()
		m.attempt = d.u64()
		m.end = d.versions()
	default:
		return m, errs.New(errs.Corrupt, "view message has kind %d", m.kind)
	}
	return m, d.done("view message")
}
