package versionlog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"dfs/errs"
	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
)

// L9, L1: hollow records and copies survive crashes and cuts as others do, and data is read from copies only.
func TestHollowRecords(t *testing.T) {
	dir := nvm.NewStrict()
	cfg := Config{Dir: dir, SegmentSize: MinSegmentSize}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const records = 100
	var lsns, copies []LSN
	var full []record.Record
	for i := range records {
		r := opRecord(ids.MakeVersion(1, uint64(i+1)), 20_000)
		full = append(full, bytes.Clone(r))
		if i%2 == 0 {
			r = r.Hollowed()
		}
		lsns = append(lsns, l.mustAppend(t, r)...)
	}
	p := make([]byte, 10_000)
	for i := 0; i < records; i += 4 {
		head, err := l.Head(lsns[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CopyOf(head, make([]byte, 20_000)); errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("L2: a copy with other data: %v", err)
		}
		c, err := CopyOf(head, full[i].Data())
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, l.mustAppend(t, c)...)
		if of, err := CopiedFrom(c); err != nil || of != lsns[i] {
			t.Fatalf("copied from %d, %v; want %d", of, err, lsns[i])
		}
		if err := l.Repair(lsns[i], full[i]); errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("L9: data is put in the place of a hollow record: %v", err)
		}
	}
	if v, _ := l.Last(); v != ids.MakeVersion(1, records) {
		t.Fatalf("the last version is %v", v)
	}
	l.mustSync(t)
	cfg.Dir, cfg.VerifyAll = dir.Crash(rand.New(rand.NewPCG(1, 1))), true
	if l, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	for i, lsn := range lsns {
		at, err := l.Find(ids.MakeVersion(1, uint64(i+1)))
		if err != nil || at != lsn {
			t.Fatalf("version %d is at %d, %v; want %d", i+1, at, err, lsn)
		}
		err = l.ReadData(lsn, 5000, p)
		var hollow *HollowError
		if i%2 == 0 && (!errors.As(err, &hollow) || hollow.LSN != lsn || errs.KindOf(err) != errs.Unavailable) || i%2 == 1 && err != nil {
			t.Fatalf("L9: reading record %d: %v", i, err)
		}
		if i%4 == 0 {
			if err := l.ReadData(copies[i/4], 5000, p); err != nil || !bytes.Equal(p, full[i].Data()[5000:15_000]) {
				t.Fatalf("L9: reading the copy of record %d: %v", i, err)
			}
		}
	}
	if _, err := l.Find(ids.MakeVersion(1, records+1)); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("a version that is not there: %v", err)
	}
	count := map[record.Kind]int{}
	heads := map[LSN]int{}
	if err := l.Scan(0, func(_ LSN, r record.Record) error { count[r.Kind()]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := l.Heads(0, func(lsn LSN, r record.Record) error { heads[lsn] = r.DataLen(); return nil }); err != nil {
		t.Fatal(err)
	}
	if count[record.Op] != records || count[record.Copy] != len(copies) || len(heads) != records+len(copies) || heads[lsns[3]] != 20_000 {
		t.Fatalf("scan finds %v, %d heads", count, len(heads))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Cut(cfg, ids.MakeVersion(1, 50)); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	if v, _ := l.Last(); v != ids.MakeVersion(1, 50) || l.End() != lsns[50] {
		t.Fatalf("L8: the log ends with %v at %d", v, l.End())
	}
}

// Find extends what it knows of the segment that is appended to.
func TestFindWhileAppending(t *testing.T) {
	l, err := Open(Config{Dir: nvm.NewStrict(), SegmentSize: MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	var lsns []LSN
	for i := range 2000 {
		lsns = append(lsns, l.mustAppend(t, opRecord(ids.MakeVersion(1, uint64(2*i+2)), i%5*100))...)
		want := i
		if i%3 == 0 {
			want = i / 2
		}
		if at, err := l.Find(ids.MakeVersion(1, uint64(2*want+2))); err != nil || at != lsns[want] {
			t.Fatalf("version %d of %d is at %d, %v; want %d", want, i, at, err, lsns[want])
		}
		if _, err := l.Find(ids.MakeVersion(1, uint64(2*want+1))); errs.KindOf(err) != errs.NotFound {
			t.Fatalf("a version that is not there: %v", err)
		}
	}
}
