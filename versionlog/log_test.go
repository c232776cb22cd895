package versionlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/nvm"
	"dfs/record"
)

// testSize is small, so that tests go through many segments.
const testSize = MinSegmentSize

func open(t testing.TB, d nvm.Dir) *Log {
	t.Helper()
	l, err := Open(Config{Dir: d, SegmentSize: testSize})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rec makes the i-th record of a test, with n bytes of data; both can be told from the content.
func rec(i, n int) record.Record {
	op := fmt.Appendf(nil, "operation %d", i)
	r := record.Build(make([]byte, record.Size(len(op), n)), record.Header{
		Origin: 1, Incarnation: 1, Counter: uint64(i), Subgroup: ids.Subgroup(i % 3), Kind: record.Op,
	}, op, pattern(i, n))
	r.Deliver(version(i), stamp(i))
	return r
}

func version(i int) ids.Version { return ids.MakeVersion(1, uint64(i)) }

func stamp(i int) hlc.Timestamp { return hlc.Timestamp(1000 + i) }

func pattern(i, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%07d|", i), n/8+1)[:n]
}

// checkPrefix verifies that l holds the records 1 to some n, and returns n.
func checkPrefix(t testing.TB, l *Log, sizes []int) int {
	t.Helper()
	n := 0
	err := l.Scan(0, func(lsn LSN, r record.Record) error {
		n++
		h := r.Header()
		want := fmt.Sprintf("operation %d", n)
		switch {
		case string(r.Op()) != want:
			return fmt.Errorf("L1: record %d at %d is %q", n, lsn, r.Op())
		case h.Version != version(n) || h.Timestamp != stamp(n) || h.Position != uint64(lsn):
			return fmt.Errorf("record %d has header %+v", n, h)
		case !bytes.Equal(r.Data(), pattern(n, sizes[n])):
			return fmt.Errorf("L2: record %d has wrong data", n)
		}
		p := make([]byte, len(r.Data()))
		if err := l.ReadData(lsn, 0, p); err != nil || !bytes.Equal(p, r.Data()) {
			return fmt.Errorf("L2: ReadData of record %d: %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, ts := l.Last(); n > 0 && (v != version(n) || ts != stamp(n)) {
		t.Fatalf("last is %v at %d, want record %d", v, ts, n)
	}
	return n
}

// sizesFor draws the data sizes of n records, from 1.
func sizesFor(rng *rand.Rand, n int) []int {
	choices := []int{0, 0, 1, 100, 4096, 5000, 20_000}
	sizes := make([]int, n+1)
	for i := range sizes {
		sizes[i] = choices[rng.IntN(len(choices))]
	}
	return sizes
}

func dirs(t *testing.T) map[string]nvm.Dir {
	d, err := nvm.OpenOS(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]nvm.Dir{"os": d, "strict": nvm.NewStrict(), "traced": nvm.NewTraced()}
}

// What is appended is read back, also after opening again.
func TestAppendRead(t *testing.T) {
	for name, d := range dirs(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 1))
			sizes := sizesFor(rng, 200)
			l := open(t, d)
			var at []LSN
			for i := 1; i <= 200; {
				var batch []record.Record
				for range 1 + rng.IntN(8) {
					if i <= 200 {
						batch = append(batch, rec(i, sizes[i]))
						i++
					}
				}
				lsns, err := l.Append(batch)
				if err != nil {
					t.Fatal(err)
				}
				at = append(at, lsns...)
				if rng.IntN(3) == 0 {
					if d, err := l.Sync(); err != nil || d != l.End() || l.Durable() != d {
						t.Fatalf("sync: %d of %d, %v", d, l.End(), err)
					}
				}
			}
			if n := checkPrefix(t, l, sizes); n != 200 {
				t.Fatalf("%d records of 200", n)
			}
			for range 500 {
				i := 1 + rng.IntN(200)
				if sizes[i] == 0 {
					continue
				}
				off := rng.IntN(sizes[i])
				p := make([]byte, 1+rng.IntN(sizes[i]-off))
				if err := l.ReadData(at[i-1], off, p); err != nil || !bytes.Equal(p, pattern(i, sizes[i])[off:off+len(p)]) {
					t.Fatalf("record %d, bytes %d+%d: %v", i, off, len(p), err)
				}
			}
			end := l.End()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, d)
			if l.End() != end || l.Durable() != end {
				t.Fatalf("end %d, durable %d after opening again, want %d", l.End(), l.Durable(), end)
			}
			if n := checkPrefix(t, l, sizes); n != 200 {
				t.Fatalf("%d records of 200", n)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A record that ends exactly with its segment needs no filler.
func TestExactFit(t *testing.T) {
	d := nvm.NewStrict()
	l := open(t, d)
	size := testSize - headerSize
	dataLen := size - 128 // a first guess; the sums take room too
	for record.Size(len("operation 1"), dataLen) > size {
		dataLen -= unit
	}
	if record.Size(len("operation 1"), dataLen) != size {
		t.Fatal("no such record")
	}
	sizes := []int{0, dataLen, dataLen, 10}
	for i := 1; i <= 3; i++ {
		lsns, err := l.Append([]record.Record{rec(i, sizes[i])})
		if err != nil || lsns[0] != LSN(i-1)*testSize+headerSize {
			t.Fatalf("record %d at %d: %v", i, lsns, err)
		}
		if i < 3 && int64(l.End()) != int64(i)*testSize {
			t.Fatalf("end %d", l.End())
		}
		l.mustSync(t)
		l = open(t, d.Crash(nil))
		if n := checkPrefix(t, l, sizes); n != i {
			t.Fatalf("%d records of %d", n, i)
		}
		d = l.dir.(*nvm.Strict)
	}
	if _, err := l.Append([]record.Record{rec(1, testSize)}); !errors.Is(err, errs.TooLarge) {
		t.Fatalf("a record larger than a segment: %v", err)
	}
}

func (l *Log) mustSync(t testing.TB) {
	t.Helper()
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
}

func (l *Log) mustAppend(t testing.TB, recs ...record.Record) []LSN {
	t.Helper()
	lsns, err := l.Append(recs)
	if err != nil {
		t.Fatal(err)
	}
	return lsns
}

// Reads outside of the log or of a record, or where no record starts, are seen as damage.
func TestReadDataArguments(t *testing.T) {
	l := open(t, nvm.NewStrict())
	lsn := l.mustAppend(t, rec(1, 5000), rec(2, 10))[0]
	p := make([]byte, 10)
	for _, c := range []struct {
		lsn  LSN
		off  int
		want errs.Kind
	}{
		{lsn, 0, errs.OK}, {lsn, 4990, errs.OK}, {lsn, 4991, errs.Corrupt}, {lsn, 5001, errs.Corrupt},
		{lsn, -1, errs.Corrupt}, {0, 0, errs.Corrupt}, {l.End(), 0, errs.Corrupt}, {lsn + 1, 0, errs.Corrupt},
		{lsn + 64, 0, errs.Corrupt},
	} {
		if err := l.ReadData(c.lsn, c.off, p); errs.KindOf(err) != c.want {
			t.Errorf("read at %d, %d: %v, want %v", c.lsn, c.off, err, c.want)
		}
	}
}

func TestFindVersion(t *testing.T) {
	l := open(t, nvm.NewStrict())
	// Odd subgroups are another order, whose versions run behind.
	odd := func(s ids.Subgroup) bool { return s%2 == 1 }
	even := func(s ids.Subgroup) bool { return s%2 == 0 }
	for i := 1; i <= 100; i++ {
		for sub := range 2 {
			r := record.Build(make([]byte, record.Size(0, 3000)), record.Header{Subgroup: ids.Subgroup(sub), Kind: record.Op}, nil, pattern(i, 3000))
			r.Deliver(ids.MakeVersion(ids.ViewID(1+i/50), uint64(10*i/(1+sub))), hlc.Timestamp(1000*i+sub))
			l.mustAppend(t, r)
		}
	}
	for i := 1; i <= 100; i++ {
		for sub, of := range []func(ids.Subgroup) bool{even, odd} {
			v := ids.MakeVersion(ids.ViewID(1+i/50), uint64(10*i/(1+sub)))
			if ts, ok, err := l.FindVersion(v, of); err != nil || !ok || ts != hlc.Timestamp(1000*i+sub) {
				t.Fatalf("subgroup %d, version %v: %d, %v, %v", sub, v, ts, ok, err)
			}
			if _, ok, err := l.FindVersion(v+1, of); err != nil || ok {
				t.Fatalf("subgroup %d, version %v: found, or %v", sub, v+1, err)
			}
		}
	}
	for _, v := range []ids.Version{0, ids.MakeVersion(3, 2000), ids.MakeVersion(9, 1)} {
		if _, ok, err := l.FindVersion(v, even); ok || err != nil {
			t.Fatalf("version %v: %v, %v", v, ok, err)
		}
	}
}

// A log keeps its segment size whatever the configuration says later.
func TestSegmentSizeStays(t *testing.T) {
	d := nvm.NewStrict()
	l := open(t, d)
	sizes := []int{0, 50_000, 50_000, 50_000}
	for i := 1; i <= 3; i++ {
		l.mustAppend(t, rec(i, sizes[i]))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Config{Dir: d, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if bytes, segments := l.Size(); l.size != testSize || bytes != testSize*int64(segments) || segments != 4 {
		t.Fatalf("segments of %d, %d bytes in %d", l.size, bytes, segments)
	}
	checkPrefix(t, l, sizes)
}

func TestConfigValidate(t *testing.T) {
	err := Config{SegmentSize: 5, ReserveBytes: -1, HeadCacheBytes: -1, MaxOpenFiles: -1}.Validate()
	for _, field := range []string{"Dir", "SegmentSize", "ReserveBytes", "HeadCacheBytes", "MaxOpenFiles"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(field)) {
			t.Errorf("%s is not reported: %v", field, err)
		}
	}
	if err := (Config{Dir: nvm.NewStrict()}).Validate(); err != nil {
		t.Error(err)
	}
}

// Zeros that Append writes ahead of the end, when syncs are brief, stay within the segment and are followed by nothing
// that recovery would stumble over (L1).
func TestZerosAhead(t *testing.T) {
	for name, d := range dirs(t) {
		t.Run(name, func(t *testing.T) {
			l := open(t, d)
			sizes := []int{0}
			ahead := 0
			for i := range 3 * testSize / 8192 {
				sizes = append(sizes, 4000)
				l.mustAppend(t, rec(i+1, 4000))
				l.mustSync(t)
				if l.written > l.End() {
					ahead++
				}
			}
			if ahead < len(sizes)/2 {
				t.Errorf("zeros lay ahead after %d of %d brief syncs", ahead, len(sizes))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, d)
			if n := checkPrefix(t, l, sizes); n != len(sizes)-1 {
				t.Errorf("L1: %d of %d records are left", n, len(sizes)-1)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
