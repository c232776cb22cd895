package shards

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/multicast"
	"dfs/namespace"
	"dfs/objects"
	"dfs/record"
)

// has returns the records of an inode's shard that a node has with their data, and without, by version.
func (m *member) has() (full, hollow map[ids.Version]record.Record) {
	full, hollow = map[ids.Version]record.Record{}, map[ids.Version]record.Record{}
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	for _, r := range m.log.recs {
		switch {
		case r.DataLen() == 0:
		case r.Hollow():
			hollow[r.Header().Version] = r
		default:
			full[r.Header().Version] = r
		}
	}
	for v := range full {
		delete(hollow, v)
	}
	return full, hollow
}

func (c *testCluster) readAll(i int, ino ids.Ino, size int) []byte {
	c.t.Helper()
	m := c.members[i]
	r, err := m.node.Now(context.Background(), ShardOf(ino, 2))
	if err != nil {
		c.t.Fatal(err)
	}
	var all []byte
	objects.Map(r, ino, 0, int64(size), func(p objects.Piece) bool {
		buf := make([]byte, p.Len)
		if !p.Hole {
			if err := m.node.ReadData(p.LSN, int(p.Off), buf); err != nil {
				c.t.Fatalf("node %d: %v", i+1, err)
			}
		}
		all = append(all, buf...)
		return true
	})
	return all
}

// G9: with more nodes than replicas data is where the layout says, and every node reads it, also when a keeper is away;
// a node that missed some gets what it is to keep before it is taken in.
func TestDataOnSomeNodes(t *testing.T) {
	const size, replicas = 300_000, 2
	c := newReplicatedCluster(t, 5, replicas)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	var nodes []ids.NodeID
	for i := range c.members {
		nodes = append(nodes, ids.NodeID(i+1))
	}
	files := map[ids.Ino][]byte{}
	rng := rand.New(rand.NewPCG(1, 1))
	write := func(by int, ino ids.Ino) {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		for off := 0; off < size; off += 100_000 {
			c.do(by, ShardOf(ino, 2), objects.Write{Ino: ino, Off: int64(off)}.Encode(), data[off:off+100_000])
		}
		files[ino] = data
	}
	check := func(what string, at ...int) {
		t.Helper()
		for _, i := range at {
			for ino, want := range files {
				if got := c.readAll(i, ino, size); !bytes.Equal(got, want) {
					t.Fatalf("%s: node %d reads file %d wrong", what, i+1, ino)
				}
			}
			full, hollow := c.members[i].has()
			for v, r := range full {
				if !slices.Contains(Keepers(nodes, r.Subgroup(), replicas), ids.NodeID(i+1)) {
					t.Fatalf("%s: node %d has version %v of shard %d", what, i+1, v, r.Subgroup())
				}
			}
			for v, r := range hollow {
				if slices.Contains(Keepers(nodes, r.Subgroup(), replicas), ids.NodeID(i+1)) {
					t.Fatalf("%s: node %d lacks version %v of shard %d", what, i+1, v, r.Subgroup())
				}
			}
		}
	}
	for ino := range ids.Ino(4) {
		write(int(ino), 70+ino)
	}
	check("healthy", 0, 1, 2, 3, 4)
	gone := int(Keepers(nodes, 1, replicas)[0]) - 1
	c.kill(gone)
	for ino := range ids.Ino(4) {
		write((gone+1+int(ino)%4)%5, 170+ino)
	}
	var left []int
	for i := range c.members {
		if i != gone {
			left = append(left, i)
		}
	}
	check("without a keeper", left...)
	c.start(gone)
	c.do(gone, ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: "back", Mode: 0o100644}.Encode())
	check("with a keeper that is back", 0, 1, 2, 3, 4)
	for i := range c.members {
		if a, b := c.digests(i), c.digests(0); a != b {
			t.Fatalf("G1: digests differ: %s and %s", a, b)
		}
	}
}

// G9: what a peer is sent is all but the data that it does not keep.
func TestParts(t *testing.T) {
	ring := make([]byte, 1<<16)
	off := 0
	for i, n := range []int{0, 100, 5000, 0, 4096, 64} {
		size := record.Size(20, n)
		record.Build(ring[off:off+size], record.Header{Kind: record.Op, Subgroup: ids.Subgroup(1 + i%2)}, make([]byte, 20), bytes.Repeat([]byte{0xff}, n))
		off += size
	}
	record.BuildPad(ring[off:], record.Header{})
	parts := appendParts(nil, ring, multicast.Range{Len: off + record.HeaderSize})
	for mask := range 4 {
		got := make([]byte, len(ring))
		last, runs := -1, 0
		wanted(parts, func(sub ids.Subgroup) bool { return mask>>(sub-1)&1 == 1 }, func(from, end int) {
			if from <= last || end <= from {
				t.Fatalf("bytes %d to %d after %d", from, end, last)
			}
			copy(got[from:end], ring[from:end])
			last, runs = end, runs+1
		})
		for at := 0; at < off; {
			r, err := record.ParseHead(got[at:])
			if err != nil {
				t.Fatalf("shards %b: %v", mask, err)
			}
			size := record.Size(len(r.Op()), r.DataLen())
			sent := record.Record(got[at:at+size]).VerifyData() == nil
			if keeps := mask>>(r.Subgroup()-1)&1 == 1; r.DataLen() > 0 && sent != keeps {
				t.Fatalf("shards %b: data of shard %d is sent: %v", mask, r.Subgroup(), sent)
			}
			at += size
		}
		if mask == 3 && runs != 1 {
			t.Fatalf("all is sent in %d runs", runs)
		}
	}
}

// What peers send as data is refused unless it is what was asked for.
func FuzzCopies(f *testing.F) {
	full := record.Build(make([]byte, record.Size(2, 5000)), record.Header{Kind: record.Op, Version: 7, Subgroup: 1}, []byte("op"), make([]byte, 5000))
	head := full.Hollowed()
	f.Add([]byte(full))
	f.Add([]byte(head))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := copies(map[ids.Version]record.Record{7: head}, b)
		if err != nil && errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("error without its kind: %v", err)
		}
		for _, c := range out {
			if !c.SameData(head) || c.VerifyData() != nil {
				t.Fatal("other data is taken")
			}
		}
	})
}

// Requests of peers that make no sense are refused.
func FuzzSource(f *testing.F) {
	n := &Node{}
	n.cfg.Work = func(fn func()) {}
	f.Add(make([]byte, 16))
	f.Add(make([]byte, readHead))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, err := range []error{n.onFillWanted(1, b), n.onReadWanted(1, b), n.onCopyWanted(1, b), n.onRead(1, b), n.onFilled(1, b)} {
			if err != nil && errs.KindOf(err) != errs.Corrupt {
				t.Fatalf("error without its kind: %v", err)
			}
		}
	})
}

// A read of data that nobody has who is there fails, and says who should have it.
func TestNobodyHasIt(t *testing.T) {
	c := newReplicatedCluster(t, 3, 1)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	keeper := int(Keepers([]ids.NodeID{1, 2, 3}, 1, 1)[0]) - 1
	ino := ids.Ino(70)
	for ShardOf(ino, 2) != 1 {
		ino++
	}
	reader := (keeper + 1) % 3
	c.do(reader, 1, objects.Write{Ino: ino}.Encode(), []byte("precious"))
	m := c.members[reader]
	if err := m.node.Sync(context.Background()); err != nil { // else it may be lost with the keeper's life
		t.Fatal(err)
	}
	c.kill(keeper)
	_, hollow := m.has()
	if len(hollow) != 1 {
		t.Fatalf("%d records without data", len(hollow))
	}
	m.log.mu.Lock()
	lsn := m.log.lsns[slices.IndexFunc(m.log.recs, func(r record.Record) bool { return r.Hollow() })]
	m.log.mu.Unlock()
	began := time.Now()
	err := m.node.ReadData(uint64(lsn), 0, make([]byte, 8))
	if errs.KindOf(err) != errs.IO || time.Since(began) < time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	c.start(keeper)
	p := make([]byte, 8)
	if err := m.node.ReadData(uint64(lsn), 0, p); err != nil || string(p) != "precious" {
		t.Fatalf("%q, %v", p, err)
	}
}
