package views

import (
	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// messageKind is the first number of an encoded message.
type messageKind uint64

const (
	stateMsg     messageKind = 1 // to everyone: how the sender stands
	prepareMsg   messageKind = 2 // leader: promise to follow this ballot
	promiseMsg   messageKind = 3 // the promise, and a report
	proposeMsg   messageKind = 4 // leader: accept this proposal
	acceptedMsg  messageKind = 5 // it is persisted
	decidedMsg   messageKind = 6 // leader: a majority has; bring the log to the end
	readyMsg     messageKind = 7 // it is there, and durable
	commitMsg    messageKind = 8 // leader: install
	installedMsg messageKind = 9 // to everyone: the sender can be written to
)

// message is any of the messages; the fields used depend on the kind.
type message struct {
	kind     messageKind
	state    state
	ballot   Ballot // all but state, propose and installed
	report   report // promise
	proposal *Proposal
	source   ids.NodeID    // decided: who has the whole log, 0 to begin with
	end      []ids.Version // ready
	full     []ids.Version // ready: up to where the data is there that the next view's settled layout asks for
	had      []ids.Version // ready: the same for the view before
	attempts []uint64      // commit: of each member by rank, the attempt that the ballot rested on, 0 for none
	unsure   bool          // commit: see Effect
	view     ids.ViewID    // installed
	instance uint32        // installed: the sender's incarnation
}

func (m *message) encode() []byte {
	var e encoder
	e.u64(uint64(m.kind))
	switch m.kind {
	case stateMsg:
		s := &m.state
		e.member(s.member)
		e.u64(s.attempt)
		e.u64(uint64(s.installed))
		e.flag(s.active)
		e.flag(s.survivor)
		e.u64(uint64(s.current))
		e.u64(s.round)
		e.nodes(s.links)
		e.sets(s.layouts)
	case promiseMsg:
		e.ballot(m.ballot)
		e.report(&m.report)
	case proposeMsg:
		e.proposal(m.proposal)
	case installedMsg:
		e.u64(uint64(m.view))
		e.u64(uint64(m.instance))
	default:
		e.ballot(m.ballot)
		e.u64(uint64(m.source))
		e.versions(m.end)
		e.versions(m.full)
		e.versions(m.had)
		e.vectors([][]uint64{m.attempts})
		e.flag(m.unsure)
	}
	return e.b
}

func (e *encoder) report(r *report) {
	e.member(r.member)
	e.u64(r.attempt)
	e.view(&r.view)
	e.flag(r.survivor)
	e.vectors(r.received)
	e.proposal(r.accepted)
	e.u64(uint64(r.current))
	e.peers(r.change)
	e.versions(r.ends.End)
	e.u64(uint64(r.ends.Floor))
	e.u64(uint64(r.ends.Now))
	e.flag(r.ends.Whole)
	e.flag(r.ends.Open)
}

func decodeMessage(b []byte) (message, error) {
	d := decoder{b: b}
	m := message{kind: messageKind(d.u64())}
	switch m.kind {
	case stateMsg:
		m.state = state{
			member: d.member(), attempt: d.u64(), installed: ids.ViewID(d.u32()),
			active: d.flag(), survivor: d.flag(), current: ids.ViewID(d.u32()), round: d.round(), links: d.nodes(), layouts: d.sets(),
		}
	case promiseMsg:
		m.ballot = d.ballot()
		m.report = d.report()
	case proposeMsg:
		if m.proposal = d.proposal(); m.proposal == nil {
			d.bad = true
		}
	case installedMsg:
		m.view = ids.ViewID(d.u32())
		m.instance = d.u32()
	case prepareMsg, acceptedMsg, decidedMsg, readyMsg, commitMsg:
		m.ballot = d.ballot()
		m.source = ids.NodeID(d.u32())
		m.end, m.full, m.had = d.versions(), d.versions(), d.versions()
		if v := d.vectors(); len(v) == 1 {
			m.attempts = v[0]
		} else {
			d.bad = true
		}
		m.unsure = d.flag()
	default:
		return m, errs.New(errs.Corrupt, "view message has kind %d", m.kind)
	}
	return m, d.done("view message")
}

func (d *decoder) report() report {
	return report{
		member: d.member(), attempt: d.u64(), view: d.view(), survivor: d.flag(), received: d.vectors(),
		accepted: d.proposal(), current: ids.ViewID(d.u32()), change: d.peers(),
		ends: Ends{End: d.versions(), Floor: hlc.Timestamp(d.u64()), Now: hlc.Timestamp(d.u64()), Whole: d.flag(), Open: d.flag()},
	}
}
