package sim

import (
	"bytes"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
	"dfs/objects"
	"dfs/shards"
)

// reads is the referee of W7 and W8, and of what a Sync promises (W4).
type reads struct {
	w        *world
	seen     int           // every entry before this was over, or was seen by a read
	answered hlc.Timestamp // the latest moment answered about
	past     []answer      // what was answered about the past
}

// answer is what some replica said about a moment.
type answer struct {
	sub  ids.Subgroup
	at   hlc.Timestamp
	hash uint64
}

const maxAnswers = 64

// over notes that everything before a place has to be seen from now on.
func (r *reads) over(place int) {
	if place > r.seen {
		r.seen = place
		r.keptAnywhere(place)
	}
}

// forget takes back what power failures have undone.
func (r *reads) forget(place int, from hlc.Timestamp) {
	r.seen = min(r.seen, place)
	kept := r.past[:0]
	for _, a := range r.past {
		if a.at < from {
			kept = append(kept, a)
		}
	}
	r.past = kept
}

// now checks a read of the present that was asked for when the entries before floor had to be seen, and a view served. A
// node that was held up may answer in the view that it asked in, though the others went on: what it asked for then it has.
func (r *reads) now(m *machine, sub ids.Subgroup, reader index.Reader, floor int, serving ids.ViewID, rng *rand.Rand) {
	if m.pos < floor {
		r.w.fail("W7: node %d answers a read with %d operations, %d were over before it was asked", m.id, m.pos, floor)
	}
	if m.ringView < serving {
		r.w.fail("W3: node %d answers in view %d a read of the present that was asked for when view %d served", m.id, m.ringView, serving)
	}
	r.w.serving = max(r.w.serving, m.ringView)
	if m.diverged {
		return // it was answered before a view without this machine began
	}
	r.compare("W7", m, sub, reader, r.w.order.timeAt(m.pos), rng)
	r.history(m, sub, rng)
	r.over(m.pos)
}

// at checks an answer about a moment, and remembers it.
func (r *reads) at(m *machine, sub ids.Subgroup, reader index.Reader, t hlc.Timestamp, rng *rand.Rand) {
	r.answered = max(r.answered, t)
	r.w.order.goesOn(m)
	if place := r.w.order.upTo(t); m.pos < place {
		r.w.fail("W8: node %d answers about %d with %d operations, there are %d", m.id, int64(t), m.pos, place)
	}
	r.compare("W8", m, sub, reader, t, rng)
	known := slices.ContainsFunc(r.past, func(a answer) bool { return a.sub == sub && a.at == t })
	if !known && rng.IntN(4) > 0 {
		return
	}
	hash := digest(sub, reader)
	for _, a := range r.past {
		if a.sub == sub && a.at == t && a.hash != hash {
			r.w.fail("W8: node %d answers %x about subgroup %d at %d, the answer was %x", m.id, hash, sub, int64(t), a.hash)
		}
	}
	if known {
		return
	}
	if a := (answer{sub, t, hash}); len(r.past) < maxAnswers {
		r.past = append(r.past, a)
	} else {
		r.past[rng.IntN(maxAnswers)] = a
	}
}

// refused checks that a question about a moment was refused for a reason.
func (r *reads) refused(m *machine, t hlc.Timestamp, err error) {
	entries := r.w.order.entries[:m.pos]
	switch errs.KindOf(err) {
	case errs.Future:
		if t <= m.physical() {
			r.w.fail("W8: node %d says that %d has not come, its clock says %d", m.id, int64(t), int64(m.physical()))
		}
	case errs.BeforeBeginning:
		if len(entries) > 0 && t >= entries[0].time {
			r.w.fail("W8: node %d says that %d was before the beginning, which was at %d", m.id, int64(t), int64(entries[0].time))
		}
	default:
		r.w.fail("W8: node %d cannot answer about %d: %v", m.id, int64(t), err)
	}
}

// digest is a hash over a whole subgroup.
func digest(sub ids.Subgroup, r index.Reader) uint64 {
	if sub == ids.Namespace {
		return namespace.Digest(r)
	}
	return objects.Digest(r)
}

// compare compares what a reader shows with the model as of a moment: all of it, or a part.
func (r *reads) compare(why string, m *machine, sub ids.Subgroup, got index.Reader, at hlc.Timestamp, rng *rand.Rand) {
	r.w.order.run(r.w.order.upTo(at))
	want := r.w.order.model.at(sub, at)
	if rng.IntN(6) == 0 {
		if a, b := digest(sub, got), digest(sub, want); a != b {
			r.w.fail("%s: node %d has digest %x of subgroup %d at %d, the model %x", why, m.id, a, sub, int64(at), b)
		}
	}
	if sub == ids.Namespace {
		dir := r.w.program.dir(rng)
		if a, b := listing(got, dir), listing(want, dir); a != b {
			r.w.fail("%s: node %d lists directory %d at %d as %x, the model as %x", why, m.id, dir, int64(at), a, b)
		}
		return
	}
	ino := r.w.program.file(rng)
	var asked []*shards.DataRead
	a := contents(got, ino, func(p objects.Piece, buf []byte) {
		asked = append(asked, m.node.AskData(p.LSN, int(p.Off), buf))
	})
	b := bytes.Join(contents(want, ino, func(p objects.Piece, buf []byte) {
		copy(buf, r.w.order.entries[p.LSN-1].data[p.Off:])
	}), nil)
	m.wake()
	troubled := m.sick || r.w.faults.on
	m.await("data", func() bool {
		return !slices.ContainsFunc(asked, func(d *shards.DataRead) bool { return !d.Ready() })
	}, func() {
		for _, d := range asked {
			if err := d.Wait(); err != nil {
				if kind := errs.KindOf(err); (troubled || m.sick) && (kind == errs.IO || kind == errs.Corrupt && r.w.rots) {
					r.w.count.unread++
					return
				}
				r.w.fail("%s: node %d reads file %d at %d: %v", why, m.id, ino, int64(at), err)
			}
		}
		if a := bytes.Join(a, nil); !bytes.Equal(a, b) {
			r.w.fail("%s: node %d reads file %d at %d as %d bytes, the model as %d other bytes", why, m.id, ino, int64(at), len(a), len(b))
		}
	})
}

// history compares all that a node knows of one key with the model.
func (r *reads) history(m *machine, sub ids.Subgroup, rng *rand.Rand) {
	r.w.order.run(m.pos)
	t := r.w.order.model.table(sub)
	if len(t.keys) == 0 {
		return
	}
	key := pick(rng, t.keys...)
	past, newest := t.past[key], r.w.order.timeAt(m.pos)
	for len(past) > 0 && past[len(past)-1].at > newest {
		past = past[:len(past)-1]
	}
	m.node.History(sub, []byte(key), func(since hlc.Timestamp, val []byte, deleted bool) bool {
		n := len(past) - 1
		if n < 0 || past[n].at != since || past[n].deleted != deleted || !deleted && !same(sub, key, past[n].bytes, val) {
			r.w.fail("W8: node %d knows key %x of subgroup %d since %d as %x (deleted %v), the model has %d more values of it",
				m.id, key, sub, int64(since), val, deleted, len(past))
		}
		past = past[:n]
		return true
	})
	if len(past) > 0 {
		r.w.fail("W8: node %d does not know key %x of subgroup %d at %d", m.id, key, sub, int64(past[len(past)-1].at))
	}
}

// same compares values but for places in the log, which differ.
func same(sub ids.Subgroup, key string, a, b []byte) bool {
	x, err1 := objects.DecodeExtent([]byte(key), a)
	y, err2 := objects.DecodeExtent([]byte(key), b)
	if sub == ids.Namespace || err1 != nil || err2 != nil {
		return bytes.Equal(a, b)
	}
	return x.Len == y.Len && x.Off == y.Off
}

// listing is a hash over the entries of a directory and what they name.
func listing(r index.Reader, dir ids.Ino) uint64 {
	h := fnv.New64a()
	namespace.List(r, dir, "", func(name string, ino ids.Ino, t namespace.Type) bool {
		h.Write([]byte(name))
		if n, err := namespace.Stat(r, ino); err == nil {
			h.Write(n.Encode())
		} else {
			h.Write([]byte{byte(t), 0xff})
		}
		return true
	})
	return h.Sum64()
}

// contents reads up to 64 KiB of a file.
func contents(r index.Reader, ino ids.Ino, read func(objects.Piece, []byte)) (all [][]byte) {
	objects.Map(r, ino, 0, 64<<10, func(p objects.Piece) bool {
		buf := make([]byte, p.Len)
		if !p.Hole {
			read(p, buf)
		}
		all = append(all, buf)
		return true
	})
	return all
}

// synced checks what a Sync of machine m promises that was asked for after its operation number counter
// and when it had applied the entries before place.
func (r *reads) synced(m *machine, counter uint64, place int, rng *rand.Rand) {
	o := r.w.order
	if counter > 0 {
		at, ok := o.place[opID{m.id, m.life, counter}]
		if !ok {
			r.w.fail("W4: a Sync of node %d is over, but not its operation %d", m.id, counter)
			return
		}
		place = max(place, at+1)
	}
	o.safe = max(o.safe, place)
	view := r.w.views[m.ringView]
	for _, peer := range r.w.machines {
		if view.Rank(peer.id) < 0 || m.wedged && peer.ringView != m.ringView {
			continue // or it was not there any more when the view was installed, and it was never open
		}
		peer.claimed = max(peer.claimed, place)
		if rng.IntN(8) == 0 {
			r.persisted("W4", peer, place)
		}
	}
}

// persisted checks that the entries before place survive on m's disk whatever happens.
func (r *reads) persisted(why string, m *machine, place int) {
	last, _ := m.reopen(m.disk.Crash(rand.New(least{}))).Last()
	if have := r.w.order.ofVersion(last); have < place {
		r.w.fail("%s: the disk of node %d has persisted %d operations, it was said to be %d", why, m.id, have, place)
	}
}

// least makes a crash keep only what is durable: it draws the first of everything.
type least struct{}

func (least) Uint64() uint64 { return 1 << 32 }
