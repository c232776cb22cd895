package shards

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// Damaged data is fetched again from another replica:
//
//	request  version u64
//	reply    version u64 | the record, or nothing
//
// The request goes to all members of the view that there is a link to; the first good copy wins.

// repairTime is how long a reader of damaged data waits for another replica's copy.
const repairTime = 5 * time.Second

// repair is a reader that waits for a copy of a record. What is behind done is written before that is closed.
type repair struct {
	version ids.Version
	lsn     versionlog.LSN
	done    chan struct{}
	err     error
}

func (r *repair) finish(err error) {
	r.err = err
	close(r.done)
}

// askRepair asks the others for a copy of a record.
func (n *Node) askRepair(lsn versionlog.LSN) *repair {
	r := &repair{lsn: lsn, done: make(chan struct{})}
	var err error
	if r.version, err = n.cfg.Log.Version(lsn); err != nil {
		r.finish(err)
		return r
	}
	n.post(event{kind: repairAsked, repair: r})
	return r
}

// wait returns when the record is repaired, or why it is not.
func (r *repair) wait() error {
	timeout := time.NewTimer(2 * repairTime) // for a node that has stopped
	defer timeout.Stop()
	select {
	case <-r.done:
		return r.err
	case <-timeout.C:
		return errs.New(errs.Unavailable, "this node has stopped")
	}
}

// startRepair asks the others.
func (n *Node) startRepair(r *repair) {
	w := n.repairs[r.version]
	if w == nil {
		w = &repairs{}
		n.repairs[r.version] = w
	}
	w.asked, w.waiting = n.cfg.Monotonic(), append(w.waiting, r)
	msg := binary.LittleEndian.AppendUint64([]byte{forCopy}, uint64(r.version))
	for _, p := range n.core.Connected() {
		if p != n.cfg.Self.Node {
			n.fab.Send(p, msg)
		}
	}
}

// tickRepairs ends those that have waited for too long.
func (n *Node) tickRepairs() {
	now := n.cfg.Monotonic()
	// In any order: each is by itself.
	for v, w := range n.repairs {
		if now-w.asked > repairTime {
			n.endRepairs(v, errs.New(errs.Unavailable, "no other node has sent a good copy"))
		}
	}
}

func (n *Node) endRepairs(v ids.Version, err error) {
	for _, r := range n.repairs[v].waiting {
		r.finish(err)
	}
	delete(n.repairs, v)
}

// repairs are the readers that wait for the same record.
type repairs struct {
	asked   time.Duration // last
	waiting []*repair
}

// onCopy repairs a record with another replica's copy, if that is good.
func (n *Node) onCopy(b []byte) error {
	if len(b) < 8 {
		return errs.New(errs.Corrupt, "copy of a record in %d bytes", len(b))
	}
	version := ids.Version(binary.LittleEndian.Uint64(b))
	w := n.repairs[version]
	if w == nil || len(b) == 8 {
		return nil // nobody waits any more, or the peer does not have it
	}
	r, err := record.Parse(b[8:])
	if err == nil {
		err = r.VerifyData()
	}
	if err == nil {
		err = n.cfg.Log.Repair(w.waiting[0].lsn, r)
	}
	if errs.KindOf(err) == errs.Corrupt {
		return err // another one's copy may be better
	}
	n.endRepairs(version, err)
	return nil
}

// Scrubbed is what a part of a Scrub found.
type Scrubbed struct {
	Next     versionlog.LSN // where to go on
	Done     bool           // that was the end of the log
	Records  int64
	Bytes    int64
	Repaired int64
	Damaged  []string // what could not be repaired
}

// Scrub verifies the log from a position on, about budget bytes of it, and repairs what is damaged. 0 is the beginning.
// It ends early after damage whose extent is not known: that record's head is damaged.
func (n *Node) Scrub(from versionlog.LSN, budget int64) (Scrubbed, error) {
	s := Scrubbed{Next: from}
	for {
		err := n.cfg.Log.Scan(s.Next, func(lsn versionlog.LSN, r record.Record) error {
			s.Next = lsn + versionlog.LSN(r.Size())
			s.Records++
			s.Bytes += int64(r.Size())
			if s.Bytes >= budget {
				return errEnough
			}
			return nil
		})
		var damage *versionlog.Damage
		switch {
		case err == nil:
			s.Done = true
			return s, nil
		case errors.Is(err, errEnough):
			return s, nil
		case !errors.As(err, &damage):
			return s, err
		}
		s.Next = damage.LSN
		if fail := n.askRepair(damage.LSN).wait(); fail != nil {
			s.Damaged = append(s.Damaged, fmt.Sprintf("%v: %v", err, fail))
			s.Done = true
			return s, nil
		}
		s.Repaired++
	}
}
