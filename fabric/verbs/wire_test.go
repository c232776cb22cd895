package verbs

import (
	"bytes"
	"net"
	"testing"
	"testing/fstest"

	"dfs/fabric/tcp"
	"dfs/ids"
)

// w0 is a configuration of TCP for a node that is never started.
func w0(t *testing.T) tcp.Config {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return tcp.Config{Self: 1, Listener: l, Peers: map[ids.NodeID]string{2: "127.0.0.1:1"}}
}

// Q6: what a peer says about a link is understood or refused, and nothing else.
func FuzzSaying(f *testing.F) {
	f.Add(saying{kind: sayOffer, yes: true, end: endpoint{number: 17, mtu: 3, gid: [16]byte{1}}, receives: 64, chunk: 4096}.encode())
	f.Add(saying{kind: sayResult, reason: "no"}.encode())
	f.Add([]byte("dfsQ"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSaying(b)
		if err != nil {
			return
		}
		again, err := decodeSaying(s.encode())
		if err != nil || again != s {
			t.Fatalf("%+v is said as %+v, %v", s, again, err)
		}
	})
}

// Q6: notes likewise.
func FuzzNotes(f *testing.F) {
	f.Add(note{kind: noteRegion, key: 1, id: 2, addr: 3, size: 4}.append(nil))
	f.Add(note{kind: noteRevoked, id: 2}.append(note{kind: noteDiscarded, id: 9}.append(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		err := eachNote(b, func(n note) error {
			if n.addr+n.size < n.addr {
				t.Fatalf("a region of %d bytes at %#x", n.size, n.addr)
			}
			again = n.append(again)
			return nil
		})
		if err == nil && !bytes.Equal(b, again) {
			t.Fatal("notes are not what they were")
		}
	})
}

// Adapters are chosen by name, by the address that the node listens on, or as the first that fits; one that
// would tear words is not.
func TestChoose(t *testing.T) {
	root := fstest.MapFS{"proc/cpuinfo": {Data: []byte("processor: 0\nflags\t\t: fpu erms sse\n")}}
	add := func(name, gid string, card bool) {
		top := "sys/class/infiniband/" + name + "/"
		if card {
			root[top+"device/vendor"] = &fstest.MapFile{}
		}
		root[top+"ports/1/state"] = &fstest.MapFile{Data: []byte("4: ACTIVE\n")}
		root[top+"ports/1/gids/0"] = &fstest.MapFile{Data: []byte("fe80:0000:0000:0000:908f:5aff:feec:b9f7\n")}
		root[top+"ports/1/gids/1"] = &fstest.MapFile{Data: []byte(gid + "\n")}
		root[top+"ports/1/gids/2"] = &fstest.MapFile{Data: []byte("0000:0000:0000:0000:0000:0000:0000:0000\n")}
		for _, i := range "012" {
			root[top+"ports/1/gid_attrs/types/"+string(i)] = &fstest.MapFile{Data: []byte("RoCE v2\n")}
		}
	}
	add("card0", "0000:0000:0000:0000:0000:ffff:0a00:0001", true)
	add("card1", "0000:0000:0000:0000:0000:ffff:7f00:0001", true)
	add("soft0", "0000:0000:0000:0000:0000:ffff:0a00:0003", false)
	all := []string{"card0", "card1", "soft0"}
	for _, c := range []struct {
		found  []string
		device string
		want   string
		words  int
	}{
		{all, "", "card1", 8}, {all, "card0", "card0", 8}, {all[:1], "", "card0", 8}, {all, "soft0", "", 0}, {all[2:], "", "", 0},
		{nil, "", "", 0}, {all, "card9", "", 0},
	} {
		p, err := choose(c.found, Config{Device: c.device, TCP: w0(t)}, root)
		if p.device != c.want || p.words != c.words || (err == nil) != (c.want != "") {
			t.Errorf("of %v, configured %q: %+v, %v", c.found, c.device, p, err)
		}
		if err == nil && p.gidIndex != 1 {
			t.Errorf("address %d of %s, want 1", p.gidIndex, p.device)
		}
	}
	root["proc/cpuinfo"] = &fstest.MapFile{Data: []byte("flags : fpu sse\n")}
	if p, err := choose(all[2:], Config{TCP: w0(t)}, root); err != nil || p.words != 3 {
		t.Errorf("Q3: software that copies whole words: %+v, %v", p, err)
	}
}
