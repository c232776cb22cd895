package shards

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/record"
	"dfs/versionlog"
)

// Data that others keep is read from them, in units:
//
//	request  number u64 | version u64 | offset u32 | length u32
//	reply    number u64 | the bytes, or none
//
// They are verified by the sums that are here. Who does not answer, or not well, is not asked again before all others
// were.
const (
	unitBytes    = 64 << 10
	cachedBytes  = 16 << 20 // of units fetched lately
	readPatience = time.Second
	readTime     = 5 * time.Second // then the read fails
	retryRead    = 250 * time.Millisecond
)

// unitKey names a unit of the data of a record.
type unitKey struct {
	version ids.Version
	unit    int
}

// unitRead is a unit that is being fetched. What is behind done is written before that is closed.
type unitRead struct {
	key  unitKey
	head record.Record
	sub  ids.Subgroup
	off  int
	size int

	number uint64
	peer   ids.NodeID // being asked, or 0
	asked  time.Duration
	began  time.Duration
	tried  int
	same   []*unitRead // others who wait for the same

	done chan struct{}
	data []byte
	err  error
}

// units are what was fetched lately.
type units struct {
	mu    sync.Mutex
	data  map[unitKey][]byte
	order []unitKey
	bytes int
}

func (u *units) get(k unitKey) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.data[k]
}

func (u *units) put(k unitKey, b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.data == nil {
		u.data = map[unitKey][]byte{}
	}
	if u.data[k] != nil {
		return
	}
	u.data[k], u.order, u.bytes = b, append(u.order, k), u.bytes+len(b)
	for u.bytes > cachedBytes {
		u.bytes -= len(u.data[u.order[0]])
		delete(u.data, u.order[0])
		u.order = u.order[1:]
	}
}

// DataRead is a read of data that was asked for.
type DataRead struct {
	n      *Node
	lsn    versionlog.LSN
	off    int
	p      []byte
	waits  []*unitRead
	damage error   // of the data here
	repair *repair // of that
	err    error
}

// ReadData reads len(p) bytes of the data of the record at lsn, from off, verified: here, or where it is kept. What is
// damaged here is repaired from another replica; if none has it, the error is errs.Corrupt and names file and offset. If
// nobody answers who has the data, it is errs.IO.
func (n *Node) ReadData(lsn uint64, off int, p []byte) error {
	err := n.cfg.Log.ReadData(versionlog.LSN(lsn), off, p)
	if err == nil {
		return nil
	}
	return n.readData(versionlog.LSN(lsn), off, p, err).Wait()
}

// AskData is ReadData that does not wait.
func (n *Node) AskData(lsn uint64, off int, p []byte) *DataRead {
	return n.readData(versionlog.LSN(lsn), off, p, n.cfg.Log.ReadData(versionlog.LSN(lsn), off, p))
}

// readData goes on after what the log said.
func (n *Node) readData(lsn versionlog.LSN, off int, p []byte, err error) *DataRead {
	r := &DataRead{n: n, lsn: lsn, off: off, p: p}
	var hollow *versionlog.HollowError
	if errors.As(err, &hollow) {
		if at, ok := n.copyHere(lsn); ok {
			r.lsn = at
			err = n.cfg.Log.ReadData(at, off, p)
		}
	}
	switch {
	case errs.KindOf(err) == errs.Corrupt:
		r.damage, r.repair = err, n.askRepair(r.lsn)
	case errors.As(err, &hollow):
		r.err = r.ask()
	default:
		r.err = err
	}
	return r
}

// ask fetches the units of a hollow record that were not fetched lately.
func (r *DataRead) ask() error {
	head, err := r.n.cfg.Log.Head(r.lsn)
	if err != nil {
		return err
	}
	h := head.Header()
	for u := r.off / unitBytes; u*unitBytes < r.off+len(r.p); u++ {
		w := &unitRead{
			key: unitKey{h.Version, u}, head: head, sub: h.Subgroup, off: u * unitBytes, done: make(chan struct{}),
			size: min(unitBytes, head.DataLen()-u*unitBytes),
		}
		r.waits = append(r.waits, w)
		if w.data = r.n.units.get(w.key); w.data != nil {
			close(w.done)
		} else {
			r.n.post(event{kind: readAsked, unit: w})
		}
	}
	return nil
}

// Ready reports whether Wait would not wait for other nodes.
func (r *DataRead) Ready() bool {
	if r.repair != nil {
		select {
		case <-r.repair.done:
		default:
			return false
		}
	}
	for _, w := range r.waits {
		select {
		case <-w.done:
		default:
			return false
		}
	}
	return true
}

// Wait returns when the data is read.
func (r *DataRead) Wait() error {
	if r.damage != nil {
		if fail := r.repair.wait(); fail != nil {
			r.n.log.Error("damaged data could not be repaired", "err", r.damage, "reason", fail)
			return r.damage
		}
		r.n.log.Warn("damaged data was repaired from another node", "err", r.damage)
		return r.n.cfg.Log.ReadData(r.lsn, r.off, r.p)
	}
	if r.err != nil || len(r.waits) == 0 {
		return r.err
	}
	timeout := time.NewTimer(2 * readTime) // for a node that has stopped
	defer timeout.Stop()
	for _, w := range r.waits {
		select {
		case <-w.done:
		case <-timeout.C:
			return errs.New(errs.IO, "data is not here and this node has stopped")
		}
		if w.err != nil {
			return w.err
		}
		at := max(r.off, w.off)
		copy(r.p[at-r.off:], w.data[at-w.off:])
	}
	return nil
}

// startRead asks for a unit.
func (n *Node) startRead(w *unitRead) {
	for _, o := range n.reads {
		if o.key == w.key {
			o.same = append(o.same, w)
			return
		}
	}
	w.began = n.cfg.Monotonic()
	n.reads = append(n.reads, w)
	n.askRead(w)
}

// askRead asks the next who may have the unit.
func (n *Node) askRead(w *unitRead) {
	w.asked, w.peer = n.cfg.Monotonic(), 0
	sources := n.sources(w.sub)
	if w.tried >= len(sources) {
		w.tried = 0 // from the first again, a while later
		return
	}
	w.peer = sources[w.tried]
	w.tried++
	n.readNumber++
	w.number = n.readNumber
	le := binary.LittleEndian
	msg := le.AppendUint64([]byte{forReadWanted}, w.number)
	msg = le.AppendUint64(msg, uint64(w.key.version))
	msg = le.AppendUint32(msg, uint32(w.off))
	n.fab.Send(w.peer, le.AppendUint32(msg, uint32(w.size)))
}

// onRead takes the answer to a read.
func (n *Node) onRead(from ids.NodeID, b []byte) error {
	if len(b) < 8 {
		return errs.New(errs.Corrupt, "data read of %d bytes makes no sense", len(b))
	}
	number, b := binary.LittleEndian.Uint64(b), b[8:]
	for _, w := range n.reads {
		if w.number != number || w.peer != from {
			continue
		}
		if len(b) == w.size && w.head.VerifyPart(w.off, b) {
			n.units.put(w.key, b)
			n.endRead(w, b, nil)
			return nil
		}
		n.askRead(w)
		if len(b) > 0 {
			return errs.New(errs.Corrupt, "data of version %v that fails its checksums", w.key.version)
		}
		return nil
	}
	return nil // too late
}

func (n *Node) endRead(w *unitRead, data []byte, err error) {
	n.reads = slices.DeleteFunc(n.reads, func(o *unitRead) bool { return o == w })
	for _, o := range append(w.same, w) {
		o.data, o.err = data, err
		close(o.done)
	}
}

// tickReads goes on with reads that wait for time to pass, or ends them.
func (n *Node) tickReads() {
	now := n.cfg.Monotonic()
	for _, w := range slices.Clone(n.reads) {
		patience := readPatience
		if w.peer == 0 {
			patience = retryRead
		}
		switch {
		case now-w.began > readTime:
			keepers := n.homes.of(w.sub)
			n.log.Error("data cannot be read", "version", w.key.version, "kept by", keepers, "links", n.core.Connected())
			n.endRead(w, nil, errs.New(errs.IO, "data of version %v is kept by nodes %v; none answers", w.key.version, keepers))
		case now-w.asked >= patience:
			n.askRead(w)
		}
	}
}

// lostSource has others asked for what a peer was asked for over a link that is gone.
func (n *Node) lostSource(peer ids.NodeID) {
	for _, w := range slices.Clone(n.reads) {
		if w.peer == peer {
			n.askRead(w)
		}
	}
	n.filledBy(peer)
}
