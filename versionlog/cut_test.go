package versionlog

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"dfs/errs"
	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
)

// L8: a crash at any operation of a cut leaves the log whole or cut, and the next Open ends what had begun.
func TestCutAndCrash(t *testing.T) {
	const records, keep = 40, 17
	for fail := 0; ; fail++ {
		dir := nvm.NewStrict()
		cfg := Config{Dir: dir, SegmentSize: MinSegmentSize}
		l, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			l.mustAppend(t, opRecord(ids.MakeVersion(1, uint64(i+1)), 20_000))
			if i%7 == 6 { // later records say that this much was durable
				l.mustSync(t)
			}
		}
		l.mustSync(t)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		dir.FailNth(fail, errs.IO, true, func(nvm.Op) bool { return true })
		cut := Cut(cfg, ids.MakeVersion(1, keep))
		dir.SetHook(nil)
		for seed := range uint64(12) {
			cfg.Dir = dir.Crash(rand.New(rand.NewPCG(uint64(fail), seed)))
			if l, err = Open(cfg); err != nil {
				t.Fatalf("L8: operation %d: %v", fail, err)
			}
			n := 0
			err = l.Scan(0, func(_ LSN, r record.Record) error {
				if r.Kind() == record.Op {
					n++
				}
				return nil
			})
			if err != nil || n != records && n != keep || cut == nil && n != keep {
				t.Fatalf("L8: operation %d failed: cut says %v; then there are %d records, %v", fail, cut, n, err)
			}
			l.mustAppend(t, opRecord(ids.MakeVersion(2, 1), 10))
			l.mustSync(t)
			if v, _ := l.Last(); v != ids.MakeVersion(2, 1) {
				t.Fatalf("the last version is %v", v)
			}
			_ = l.Close()
		}
		if cut == nil {
			if fail < 5 {
				t.Fatal("nothing failed")
			}
			return
		}
	}
}

func opRecord(v ids.Version, data int) record.Record {
	payload := make([]byte, data)
	copy(payload, fmt.Sprint(v))
	b := make(record.Record, record.Size(2, data))
	record.Build(b, record.Header{Origin: 1, Incarnation: 1, Counter: v.Seq(), Subgroup: 1, Kind: record.Op}, []byte("op"), payload)
	b.Deliver(v, 1)
	return b
}
