package shards

import (
	"encoding/binary"
	"testing"

	"dfs/ids"
	"dfs/record"
)

// request asks a node for its log after a version, as a peer that catches up, and returns what kind of reply that gets.
func request(t *testing.T, n *Node, f *silentFabric, after ids.Version) byte {
	t.Helper()
	le := binary.LittleEndian
	msg := le.AppendUint64(le.AppendUint16(le.AppendUint64(nil, 0), 0), uint64(after))
	f.sent = nil
	err := n.onFetch(2, append(msg, make([]byte, n.wantsBytes())...))
	if n.Step(); err != nil || len(f.sent) != 1 || f.sent[0][0] != forReply {
		t.Fatalf("request for what is after %v: %v, answered by %x", after, err, f.sent)
	}
	return f.sent[0][firstByte+replyHead-1]
}

// A node that is to cut its log is told so as often as it asks: it may not have heard it.
func TestCutAgain(t *testing.T) {
	f := &silentFabric{}
	n, now := alone(t, f, 1)
	serve(t, n, now)
	lost := ids.MakeVersion(n.view.ID-1, 7)
	for range 3 {
		if kind := request(t, n, f, lost); kind != replyCut {
			t.Fatalf("a node whose log goes on where none does gets a reply of kind %d, want %d", kind, replyCut)
		}
	}
}

// What a source sent to an earlier life of a node, over the link of this one, is no answer to a read of this life.
func TestLateAnswer(t *testing.T) {
	data := []byte("data that others keep")
	head := record.Build(make([]byte, record.Size(2, len(data))), record.Header{Kind: record.Op, Version: 7, Subgroup: 1}, []byte("op"), data).Hollowed()
	ask := func(life uint32) (n *Node, w *unitRead, number []byte) {
		f := &silentFabric{}
		n, _ = inLife(t, life, f, 2)
		n.Events().Up(2)
		n.Step()
		w = &unitRead{key: unitKey{7, 0}, head: head, sub: 1, size: len(data), done: make(chan struct{})}
		n.startRead(w)
		if len(f.sent) != 1 || f.sent[0][0] != forReadWanted {
			t.Fatalf("a read of what node 2 keeps sends %x", f.sent)
		}
		return n, w, f.sent[0][firstByte : firstByte+8]
	}
	_, _, late := ask(1)
	n, w, number := ask(2)
	if err := n.onRead(2, append(late[:8:8], make([]byte, len(data))...)); err != nil || w.peer != 2 || w.tried != 1 {
		t.Fatalf("an answer to the life before is taken: %v, then node %d is asked, the %d. time", err, w.peer, w.tried)
	}
	if err := n.onRead(2, append(number[:8:8], data...)); err != nil || string(w.data) != string(data) {
		t.Fatalf("read %q, %v", w.data, err)
	}
}
