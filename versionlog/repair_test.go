package versionlog

import (
	"errors"
	"math/rand/v2"
	"testing"

	"dfs/errs"
	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
)

// L5: damaged data is found by reading, a copy with the same sums heals it for good, any other is refused.
func TestRepair(t *testing.T) {
	dir := nvm.NewStrict()
	l, err := Open(Config{Dir: dir, SegmentSize: MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	good := opRecord(ids.MakeVersion(1, 1), 9000)
	copyOf := append(record.Record(nil), good...)
	lsn := l.mustAppend(t, good)[0]
	l.mustSync(t)
	f, err := dir.OpenWrite(segmentName(0), MinSegmentSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.WriteAt(int64(lsn)+int64(good.DataOffset())+5000, []byte{1, 2, 3}), f.Persist()); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 9000)
	if err := l.ReadData(lsn, 0, p); errs.KindOf(err) != errs.Corrupt {
		t.Fatalf("L2: damaged data is read: %v", err)
	}
	var damage *Damage
	err = l.Scan(0, func(LSN, record.Record) error { return nil })
	if !errors.As(err, &damage) || damage.LSN != lsn || errs.KindOf(err) != errs.Corrupt {
		t.Fatalf("scan of damaged data: %v", err)
	}
	if v, err := l.Version(lsn); err != nil || v != ids.MakeVersion(1, 1) {
		t.Fatalf("version %v, %v", v, err)
	}
	other := opRecord(ids.MakeVersion(1, 1), 9000)
	other[other.DataOffset()] ^= 1
	for _, bad := range []record.Record{other, opRecord(ids.MakeVersion(1, 2), 9000), opRecord(ids.MakeVersion(1, 1), 8000)} {
		if err := l.Repair(lsn, bad); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("a copy that is none: %v", err)
		}
	}
	if err := l.Repair(lsn, copyOf); err != nil {
		t.Fatal(err)
	}
	if err := l.ReadData(lsn, 0, p); err != nil {
		t.Fatalf("after the repair: %v", err)
	}
	for seed := range uint64(8) { // what was repaired is durable
		l, err := Open(Config{Dir: dir.Crash(rand.New(rand.NewPCG(seed, 1))), SegmentSize: MinSegmentSize})
		if err != nil {
			t.Fatalf("L5: after the repair and a crash: %v", err)
		}
		if err := l.ReadData(lsn, 0, p); err != nil {
			t.Fatalf("L5: after the repair and a crash: %v", err)
		}
		_ = l.Close()
	}
}
