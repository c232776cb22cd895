package versionlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/nvm"
	"dfs/record"
)

// image is the files of a log.
type image map[string][]byte

func imageOf(t testing.TB, d nvm.Dir) image {
	t.Helper()
	entries, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	m := make(image)
	for _, e := range entries {
		f, err := d.Open(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		m[e.Name] = make([]byte, e.Size)
		if _, err := f.ReadAt(m[e.Name], 0); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m image) dir(t testing.TB) *nvm.Strict {
	t.Helper()
	d := nvm.NewStrict()
	for name, b := range m {
		f, err := d.Create(name, int64(len(b)))
		if err == nil {
			err = f.WriteAt(0, b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d.Crash(nil)
}

// smallLog returns a log of a few records, in two segments, and how much of the files is in use.
func smallLog(t testing.TB) (m image, sizes []int, used map[string]int) {
	d := nvm.NewStrict()
	l := open(t, d)
	sizes = []int{0, 0, 200, 4100, 0, testSize - 5500, 300, 0}
	for i := 1; i < len(sizes); i++ {
		l.mustAppend(t, rec(i, sizes[i]))
		if i%2 == 0 {
			l.mustSync(t)
		}
	}
	end := l.offset(l.End())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return imageOf(t, d), sizes, map[string]int{segmentName(0): testSize, segmentName(1): int(end), markName: markSize}
}

// flip returns a copy of a directory with one bit flipped.
func flip(t *testing.T, d *nvm.Strict, name string, at int) *nvm.Strict {
	t.Helper()
	d = d.Crash(nil)
	f, err := d.OpenWrite(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, int64(at)); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (at % 8)
	if err := errors.Join(f.WriteAt(int64(at), b), f.Persist()); err != nil {
		t.Fatal(err)
	}
	return d
}

// checkDamaged opens a log with damage: either that is reported, or every record is there and right.
func checkDamaged(t *testing.T, d nvm.Dir, sizes []int, what string, at int) {
	t.Helper()
	l, err := Open(Config{Dir: d, VerifyAll: true})
	if err != nil {
		if !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), what) {
			t.Fatalf("L5: damage at %d of %s: %v", at, what, err)
		}
		return
	}
	if n := checkPrefix(t, l, sizes); n != len(sizes)-1 {
		t.Fatalf("L5: damage at %d of %s: only %d records", at, what, n)
	}
}

// worthFlipping leaves out most of the inside of the large record's data, and most of the mark between
// its slots.
func worthFlipping(i, used int) bool {
	return i < 700 || i > used-700 || i%4096 < 40 || i%61 == 0
}

// L2, L5: one bit flipped anywhere is reported, or does not matter.
func TestFlippedBits(t *testing.T) {
	m, sizes, used := smallLog(t)
	d := m.dir(t)
	for name, n := range used {
		for i := range n {
			if worthFlipping(i, n) {
				checkDamaged(t, flip(t, d, name, i), sizes, name, i)
			}
		}
	}
}

// L2: what is damaged while the log is open is not served.
func TestFlippedBitsWhileOpen(t *testing.T) {
	m, sizes, used := smallLog(t)
	d := m.dir(t)
	for name, n := range used {
		if name == markName {
			continue
		}
		for i := 0; i < n; i += 1 + i/50 {
			l := open(t, d)
			l.dir = flip(t, d, name, i)
			l.reads.init(l.dir, l.size, l.cfg)
			k := 0
			err := l.Scan(0, func(lsn LSN, r record.Record) error {
				k++
				if !bytes.Equal(r.Data(), pattern(k, sizes[k])) {
					t.Fatalf("L2: flip at %d of %s: wrong data scanned", i, name)
				}
				return nil
			})
			if err != nil && (!errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), name)) {
				t.Fatalf("flip at %d of %s: %v", i, name, err)
			}
			readAll(t, l, sizes)
		}
	}
}

// readAll reads the data of all records by position: right, or an error.
func readAll(t *testing.T, l *Log, sizes []int) {
	t.Helper()
	at := LSN(headerSize)
	for i := 1; i < len(sizes); i++ {
		size := LSN(len(rec(i, sizes[i])))
		if l.offset(at)+int64(size) > l.size {
			at = l.start(l.number(at)+1) + headerSize
		}
		p := make([]byte, sizes[i])
		if err := l.ReadData(at, 0, p); err == nil && !bytes.Equal(p, pattern(i, sizes[i])) {
			t.Fatalf("L2: record %d: wrong data read", i)
		} else if err != nil && !errors.Is(err, errs.Corrupt) {
			t.Fatal(err)
		}
		at += size
	}
}

// L5: segments that are missing, cut or of another log are reported.
func TestMissingFiles(t *testing.T) {
	m, sizes, _ := smallLog(t)
	for name, c := range map[string]struct {
		change func(m image)
		what   string
	}{
		"last missing":  {func(m image) { delete(m, segmentName(1)) }, segmentName(1)},
		"first missing": {func(m image) { delete(m, segmentName(0)) }, ""},
		"all missing":   {func(m image) { delete(m, segmentName(0)); delete(m, segmentName(1)); delete(m, segmentName(2)) }, "all segments"},
		"first is cut":  {func(m image) { m[segmentName(0)] = m[segmentName(0)][:30_000] }, segmentName(0)},
		"last is cut":   {func(m image) { m[segmentName(1)] = m[segmentName(1)][:100] }, segmentName(1)},
		"last is empty": {func(m image) { m[segmentName(1)] = nil }, segmentName(1)},
		"exchanged":     {func(m image) { m[segmentName(0)], m[segmentName(1)] = m[segmentName(1)], m[segmentName(0)] }, segmentName(0)},
		"middle missing": {func(m image) {
			m[segmentName(3)] = m[segmentName(1)]
			delete(m, segmentName(1))
			delete(m, segmentName(2))
		}, segmentName(1)},
		"header is wiped": {func(m image) { clear(m[segmentName(1)][:headerSize]) }, segmentName(1)},
	} {
		for _, withMark := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				damaged := make(image)
				for file, b := range m {
					damaged[file] = bytes.Clone(b)
				}
				c.change(damaged)
				if !withMark {
					delete(damaged, markName)
				}
				l, err := Open(Config{Dir: damaged.dir(t)})
				if withMark && c.what != "" && (!errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), c.what)) {
					t.Fatalf("L5: %v", err)
				}
				if err == nil && c.what != "" {
					checkPrefix(t, l, sizes)
				}
			})
		}
	}
}

// L5: a segment that went missing while the log was open is reported as damage.
func TestMissingWhileOpen(t *testing.T) {
	m, _, _ := smallLog(t)
	d := m.dir(t)
	l := open(t, d)
	if err := d.Remove(segmentName(0)); err != nil {
		t.Fatal(err)
	}
	if err := l.ReadData(headerSize, 0, nil); !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), segmentName(0)) {
		t.Fatalf("L5: %v", err)
	}
}

// L5 without the mark: a record in the middle is damaged, and a later one says that it was durable.
func TestDurableFieldTellsDamage(t *testing.T) {
	m, _, _ := smallLog(t)
	delete(m, markName)
	m[segmentName(0)][headerSize+10] ^= 1
	_, err := Open(Config{Dir: m.dir(t)})
	if !errors.Is(err, errs.Corrupt) || !strings.Contains(err.Error(), segmentName(0)+" at offset 64") {
		t.Fatalf("L5: %v", err)
	}
	// The very last record may as well be torn: without the mark nobody knows better.
	m, sizes, used := smallLog(t)
	delete(m, markName)
	m[segmentName(1)][used[segmentName(1)]-60] ^= 1
	if n := checkPrefix(t, open(t, m.dir(t)), sizes); n != len(sizes)-2 {
		t.Fatalf("%d records", n)
	}
}

// L1: a good record that belongs elsewhere, as a disk that mixes up its blocks may show it, is no record.
func TestMisplacedRecord(t *testing.T) {
	m, sizes, used := smallLog(t)
	end := used[segmentName(1)]
	copy(m[segmentName(1)][end:], m[segmentName(0)][headerSize:][:128])
	if n := checkPrefix(t, open(t, m.dir(t)), sizes); n != len(sizes)-1 {
		t.Fatalf("%d records", n)
	}
}

// A failing disk is not taken for the end of the log.
func TestReadErrorIsNoEnd(t *testing.T) {
	m, sizes, _ := smallLog(t)
	for n := 0; ; n++ {
		d, seen := m.dir(t), 0
		d.FailNth(n, errs.IO, false, func(op nvm.Op) bool {
			if op.Verb == nvm.Read {
				seen++
			}
			return op.Verb == nvm.Read
		})
		l, err := Open(Config{Dir: d, VerifyAll: true})
		if seen <= n {
			if err != nil {
				t.Fatal(err)
			}
			d.SetHook(nil)
			if n := checkPrefix(t, l, sizes); n != len(sizes)-1 {
				t.Fatalf("%d records", n)
			}
			return
		}
		if !errors.Is(err, errs.IO) || errors.Is(err, errs.Corrupt) {
			t.Fatalf("read %d failed, and Open said %v", n, err)
		}
	}
}

// A log that was copied with other files around it opens: they are not the log's.
func TestForeignFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	d, err := nvm.OpenOS(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"segment-1", "segment-000000000x", "segment-0000000000.bak", "README"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("foreign"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, d)
	l.mustAppend(t, rec(1, 10))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(path, "README")); err != nil || string(got) != "foreign" {
		t.Fatalf("%q, %v", got, err)
	}
}

// L1, L2: whatever lies in a segment, Open finds a log whose records verify, or says what is wrong, and
// then the log can be appended to.
func FuzzRecover(f *testing.F) {
	m, _, used := smallLog(f)
	f.Add(m[segmentName(0)][:5000], m[markName][:markLen])
	f.Add(m[segmentName(1)][:used[segmentName(1)]], []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, seg, mark []byte) {
		file := make([]byte, testSize)
		copy(file, seg)
		marks := make([]byte, markSize)
		copy(marks, mark)
		l, err := Open(Config{Dir: image{segmentName(0): file, markName: marks}.dir(t), SegmentSize: testSize})
		if err != nil {
			if !errors.Is(err, errs.Corrupt) {
				t.Fatalf("error without its kind: %v", err)
			}
			return
		}
		count := func() (n int) {
			if err := l.Scan(0, func(LSN, record.Record) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := count()
		l.mustAppend(t, rec(1, 100))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, l.dir)
		if n := count(); n != before+1 {
			t.Fatalf("L1: %d records, then %d", before, n)
		}
	})
}

// L3: what a crash left of a log whose first segment is not in the directory is no log: recovery returns a prefix.
func TestFirstSegmentMissing(t *testing.T) {
	dir := nvm.NewStrict()
	l, err := Open(Config{Dir: dir, SegmentSize: MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); l.End() < LSN(MinSegmentSize)+4096; i++ {
		if _, err := l.Append([]record.Record{rec(int(i), 4096)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := dir.Remove(segmentName(0)); err != nil {
		t.Fatal(err)
	}
	l, err = Open(Config{Dir: dir, SegmentSize: MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	if l.End() != 0 {
		t.Errorf("L3: the log ends at %d without its first segment", l.End())
	}
}
