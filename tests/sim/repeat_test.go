package sim

import (
	"testing"

	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/nvm"
	"dfs/objects"
	"dfs/record"
	"dfs/shards"
	"dfs/versionlog"
	"dfs/views"
)

// W2: an operation that was delivered twice is applied once. In a run this does not happen: members agree on
// the end of every view. It would happen to a node that resends what the others have delivered without it.
func TestRepeatedOperationIsAppliedOnce(t *testing.T) {
	const ino = 7
	sub := shards.ShardOf(ino, dataShards)
	op, data := objects.Append{Ino: ino}.Encode(), []byte("once")
	log, err := versionlog.Open(versionlog.Config{Dir: nvm.NewStrict()})
	if err != nil {
		t.Fatal(err)
	}
	version := uint64(0)
	deliver := func(life uint32, counter uint64) {
		h := record.Header{Origin: 1, Incarnation: life, Counter: counter, Subgroup: sub, Kind: record.Op}
		r := record.Build(make([]byte, record.Size(len(op), len(data))), h, op, data)
		version++
		r.Deliver(ids.MakeVersion(1, version), epoch+hlc.Timestamp(version))
		if _, err := log.Append([]record.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	deliver(1, 1)
	deliver(1, 1)
	deliver(1, 2)
	deliver(2, 1) // another life begins to count anew; what comes late from the first one is old
	deliver(1, 3)
	deliver(2, 1)
	kv := index.NewMem()
	for range 2 { // recovered from nothing, then from what was applied
		x := index.New(kv, index.Config{})
		_, err = shards.New(shards.Config{
			Self: views.Member{Node: 1, Incarnation: 3}, Nodes: []views.Peer{{Node: 1}}, Shards: dataShards,
			Log: log, Index: x, Physical: func() hlc.Timestamp { return epoch },
		})
		if err != nil {
			t.Fatal(err)
		}
		if a, _ := objects.Stat(x.At(sub, hlc.Latest), ino); a.Size != int64(3*len(data)) {
			t.Fatalf("W2: the file has %d bytes, want 3 times %d", a.Size, len(data))
		}
		deliver(2, 1)
	}
}
