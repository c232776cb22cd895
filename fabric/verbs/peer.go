package verbs

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"dfs/errs"
	"dfs/fabric"
	"dfs/ids"
)

var errClosed = errors.New("closed by this node")

// state is how far the agreement about a link has come.
type state int

const (
	stateOffline   state = iota
	stateOffered         // the offer is out
	stateConnected       // both can, and this end's queue pair is connected or has failed to be
	stateUp
)

// peer is another node.
type peer struct {
	f  *Fabric
	id ids.NodeID

	// flushing says that the peer is in Fabric.dirty. Only the owner's goroutine uses it.
	flushing bool

	mu    sync.Mutex
	fence fabric.Fence
	state state
	why   string // why not verbs, or why the last link ended
	trial *link  // not up yet
	link  *link  // up; nil if that is over TCP
	since time.Time

	early    int     // links in a row that broke early
	mine     *saying // the results, as far as they are known
	theirs   *saying
	required bool // that end wants verbs or nothing
}

// controlUp begins the agreement on a fresh TCP connection.
func (f *Fabric) controlUp(id ids.NodeID) {
	p := f.peer(id)
	p.mu.Lock()
	p.state, p.mine, p.theirs, p.since = stateOffered, nil, nil, time.Now()
	offer := saying{kind: sayOffer, required: f.cfg.Mode == Required, reason: f.devWhy}
	switch {
	case f.dev == nil || f.closing.Load():
	case f.cfg.Mode == Auto && p.early >= flaky:
		offer.reason = fmt.Sprintf("%d queue pairs in a row broke at once, so none until the next connection: %s", p.early, p.why)
		p.early = 0 // the next TCP connection tries again
	default:
		if err := p.prepare(&offer); err != nil {
			offer.reason = "no queue pair: " + err.Error()
		}
	}
	p.why = offer.reason
	p.mu.Unlock()
	f.say(id, offer)
}

// prepare makes a queue pair and says in the offer how it is reached.
func (p *peer) prepare(offer *saying) error {
	pair, err := p.f.dev.open(p.f.cfg.sizes)
	if err != nil {
		return err
	}
	p.trial = newLink(p, pair)
	if err := p.trial.fillReceives(); err != nil {
		p.trial.end(err)
		p.trial = nil
		return err
	}
	offer.yes, offer.end = true, pair.local()
	offer.receives, offer.chunk = p.f.cfg.sizes.receives, p.f.cfg.sizes.chunk
	return nil
}

func (f *Fabric) say(id ids.NodeID, s saying) {
	f.ctl.Lock()
	defer f.ctl.Unlock()
	f.inner.Send(id, s.encode())
	f.inner.Flush()
}

// controlMessage is the agreement until the link is up, and then the owner's.
func (f *Fabric) controlMessage(id ids.NodeID, msg []byte) {
	p := f.peer(id)
	p.mu.Lock()
	up, overTCP := p.state == stateUp, p.link == nil
	p.mu.Unlock()
	if up {
		if overTCP {
			f.cfg.TCP.Events.Message(id, msg)
		} else {
			f.breakControl(p, errs.New(errs.Corrupt, "a message over TCP on a link that is up over verbs"))
		}
		return
	}
	s, err := decodeSaying(msg)
	if err == nil {
		err = p.hear(s)
	}
	if err != nil {
		f.breakControl(p, err)
	}
}

// hear takes the next step of the agreement. Its error ends the connection.
func (p *peer) hear(s saying) error {
	p.mu.Lock()
	now := p.state
	p.mu.Unlock()
	switch {
	case s.kind == sayOffer && now == stateOffered:
		return p.hearOffer(s)
	case s.kind == sayConnected && now == stateConnected:
		p.prove()
		return p.decide()
	case s.kind == sayResult && now == stateConnected:
		p.mu.Lock()
		p.theirs = &s
		silent := p.mine == nil
		p.mu.Unlock()
		if silent {
			if s.yes {
				return errs.New(errs.Corrupt, "node %d has proven a queue pair before it was connected", p.id)
			}
			p.result(errors.New("the other end could not connect"))
		}
		return p.decide()
	case now == stateOffline:
		return nil // of a connection that is ending
	}
	return errs.New(errs.Corrupt, "node %d says kind %d about a link at the wrong time", p.id, s.kind)
}

// hearOffer connects the queue pair if both have one; else the link is up over TCP.
func (p *peer) hearOffer(s saying) error {
	p.mu.Lock()
	p.required = s.required
	l := p.trial
	p.mu.Unlock()
	if l == nil || !s.yes {
		why := p.whyNot()
		if l != nil {
			why = fmt.Sprintf("node %d: %s", p.id, s.reason)
		}
		return p.overTCP(why)
	}
	p.mu.Lock()
	p.state = stateConnected
	l.remoteChunk = s.chunk
	l.credits = s.receives
	err := l.connect(s.end)
	p.mu.Unlock()
	if err != nil {
		p.result(fmt.Errorf("connecting the queue pair: %w", err))
		return p.decide()
	}
	p.f.say(p.id, saying{kind: sayConnected})
	return nil
}

// prove sends an empty message over the queue pair and waits until it is acknowledged.
func (p *peer) prove() {
	p.mu.Lock()
	l, answered := p.trial, p.mine != nil
	p.mu.Unlock()
	if l == nil || answered {
		return
	}
	p.result(l.prove(time.Now().Add(p.f.cfg.ProveTimeout)))
}

// result tells the other end whether the queue pair works.
func (p *peer) result(err error) {
	s := saying{kind: sayResult, yes: err == nil}
	if err != nil {
		s.reason = err.Error()
	}
	p.mu.Lock()
	p.mine = &s
	p.mu.Unlock()
	p.f.say(p.id, s)
}

// decide ends the agreement once both results are known (Q7).
func (p *peer) decide() error {
	p.mu.Lock()
	mine, theirs := p.mine, p.theirs
	p.mu.Unlock()
	switch {
	case mine == nil || theirs == nil:
		return nil
	case !mine.yes:
		return p.overTCP(mine.reason)
	case !theirs.yes:
		return p.overTCP(fmt.Sprintf("node %d: %s", p.id, theirs.reason))
	}
	p.f.reg.Lock()
	p.mu.Lock()
	l := p.trial
	if l == nil || p.state != stateConnected {
		p.mu.Unlock()
		p.f.reg.Unlock()
		return nil
	}
	p.trial, p.link = nil, l
	for s := range p.f.sources {
		l.addSource(s)
	}
	for id, r := range p.f.regions {
		l.offer(id, r)
	}
	l.pump()
	p.up("")
	p.f.reg.Unlock()
	p.f.cfg.TCP.Events.Up(p.id)
	p.f.wg.Go(l.run)
	return nil
}

// up marks the link as up and releases the lock.
func (p *peer) up(why string) {
	p.state, p.why = stateUp, why
	p.fence.Connected()
	p.mu.Unlock()
}

// overTCP puts the link up without a queue pair, where that is allowed.
func (p *peer) overTCP(why string) error {
	p.mu.Lock()
	if p.trial != nil {
		p.trial.end(errors.New(why))
		p.trial = nil
	}
	required := p.required || p.f.cfg.Mode == Required
	if p.state == stateOffline {
		p.mu.Unlock()
		return nil
	}
	if required {
		p.why = why
		p.mu.Unlock()
		if refused := p.f.cfg.TCP.Refused; refused != nil {
			refused(p.id, fmt.Sprintf("the link to node %d must use verbs and cannot: %s", p.id, why))
		}
		return errs.New(errs.NotSupported, "the link must use verbs and cannot: %s", why)
	}
	p.up(why)
	p.f.cfg.TCP.Events.Up(p.id)
	return nil
}

// controlDown ends what the TCP connection carried or agreed upon.
func (f *Fabric) controlDown(id ids.NodeID, err error) {
	p := f.peer(id)
	p.mu.Lock()
	was, l, trial := p.state, p.link, p.trial
	p.state, p.link, p.trial = stateOffline, nil, nil
	p.fence.Disconnected()
	for _, l := range []*link{l, trial} {
		if l != nil {
			l.end(err) // nothing lands any more (Q4)
		}
	}
	if l != nil {
		err = l.dead
	}
	if was == stateUp {
		p.why = err.Error()
		switch {
		case time.Since(p.since) > earlyLife:
			p.early = 0
		case l != nil && l.failed:
			p.early++
		}
	} else if p.why == "" {
		p.why = err.Error()
	}
	p.mu.Unlock()
	if l != nil {
		<-l.done
	}
	if was == stateUp && !f.closing.Load() {
		f.cfg.TCP.Events.Down(id, err)
	}
}

// breakControl ends the TCP connection to a peer, which ends its link. It is dialled again.
func (f *Fabric) breakControl(p *peer, why error) {
	p.mu.Lock()
	for _, l := range []*link{p.trial, p.link} {
		if l != nil {
			l.fail(why)
		}
	}
	if p.state != stateUp {
		p.why = why.Error()
	}
	p.mu.Unlock()
	if !f.closing.Load() {
		f.inner.Sever(p.id, why)
	}
}

// whyNot returns why this end has offered no queue pair.
func (p *peer) whyNot() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}
