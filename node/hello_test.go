package node

import (
	"strings"
	"testing"
	"time"

	"dfs/hlc"
	"dfs/ids"
)

func sampleHello() hello {
	return hello{Format: 1, Cluster: "c", Members: []ids.NodeID{1, 2}, Shards: 4, Clock: hlc.Timestamp(time.Hour)}
}

// Who cannot work together finds out in the handshake, and is told why.
func TestHelloCheck(t *testing.T) {
	for want, change := range map[string]func(h *hello){
		"":                                func(h *hello) { h.Clock += hlc.Timestamp(499 * time.Millisecond) },
		"data format 2":                   func(h *hello) { h.Format = 2 },
		`belongs to cluster "d"`:          func(h *hello) { h.Cluster = "d" },
		"with the nodes [1 3]":            func(h *hello) { h.Members = []ids.NodeID{1, 3} },
		"has 2 replicas of data":          func(h *hello) { h.Replicas = 2 },
		"has 5 data shards":               func(h *hello) { h.Shards = 5 },
		`another cluster of the name "c"`: func(h *hello) { h.Authority = "00" },
		"the clock of node 2 is 700ms behind, allowed are 500ms": func(h *hello) { h.Clock -= hlc.Timestamp(700 * time.Millisecond) },
		"the clock of node 2 is 1h0m0s ahead":                    func(h *hello) { h.Clock += hlc.Timestamp(time.Hour) },
	} {
		theirs := sampleHello()
		change(&theirs)
		theirs, err := decodeHello(theirs.encode())
		if err != nil {
			t.Fatal(err)
		}
		err = sampleHello().check(2, theirs, 500*time.Millisecond)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add(sampleHello().encode())
	f.Add([]byte(`{"format":1}{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHello(b); err == nil {
			_ = sampleHello().check(2, h, time.Second)
			if _, err := decodeHello(h.encode()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A greeting that waited is not taken for a clock that is behind; one from the future is refused at either end.
func TestHelloThatWaited(t *testing.T) {
	dialler := hello{Clock: hlc.Timestamp(time.Hour)}
	ours := dialler
	ours.Clock += hlc.Timestamp(2 * time.Second)
	if err := ours.check(1, dialler.dialled(ours), time.Second); err != nil {
		t.Error(err)
	}
	if err := dialler.check(2, ours, time.Second); err == nil {
		t.Error("the dialler accepts a clock that is two seconds ahead")
	}
	if err := dialler.check(1, ours.dialled(dialler), time.Second); err == nil {
		t.Error("who was dialled accepts a clock that is two seconds ahead")
	}
}
