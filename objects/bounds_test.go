package objects

import (
	"testing"

	"dfs/hlc"
	"dfs/ids"
)

// However many files a Drop is about, it deletes a bounded number of extents and leaves the rest to
// Purge; the files and their usage are gone at once (O3).
func TestDropIsBounded(t *testing.T) {
	h := newHarness(t)
	var inos []ids.Ino
	for ino := ids.Ino(1); ino <= MaxPurge/inlineDelete+3; ino++ {
		inos = append(inos, ino)
		for i := range int64(inlineDelete) {
			h.must(Write{ino, 2 * i}, []byte("x"))
		}
	}
	h.must(Drop{inos}, nil)
	h.check()
	left := 0
	from, to := tableRange(tableExtent)
	h.r().Scan(from, to, func(_, _ []byte) bool { left++; return true })
	if left != 3*inlineDelete || !Garbage(h.r()) || Usage(h.r()) != 0 {
		t.Errorf("%d extents left, garbage %v, usage %d", left, Garbage(h.r()), Usage(h.r()))
	}
	if more, err := DecodeMore(h.must(Purge{}, nil)); more || err != nil {
		t.Errorf("more %v, %v", more, err)
	}
	h.check()
}

// A file that comes back after it was dropped does not see what is still to be purged (O6).
func TestWriteAfterDropBeginsAfresh(t *testing.T) {
	h := newHarness(t)
	for i := range int64(inlineDelete + 1) {
		h.must(Write{5, 2 * i}, []byte("x"))
	}
	h.must(Drop{[]ids.Ino{5}}, nil)
	h.must(Write{5, 10}, []byte("late"))
	h.check()
	if got := h.read(h.r(), 5, 0, 100); string(got) != "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00late" {
		t.Errorf("reads %q", got)
	}
	h.must(Purge{}, nil)
	h.check()
	if got := h.read(h.r(), 5, 10, 100); string(got) != "late" {
		t.Errorf("reads %q after the purge", got)
	}
}

// O4: the key of the attributes has a row in the history for every change of the file, by which the
// moments of a file are listed.
func TestHistoryOfAttributes(t *testing.T) {
	h := newHarness(t)
	h.must(Write{5, 0}, []byte("one"))
	h.must(Append{5}, []byte("two"))
	h.must(Truncate{5, 0}, nil)
	h.must(Drop{[]ids.Ino{5}}, nil)
	var sizes []int64
	h.x.History(shard, AttrKey(5), func(since hlc.Timestamp, v []byte, deleted bool) bool {
		if deleted {
			sizes = append(sizes, -1)
			return true
		}
		a, err := DecodeAttr(v)
		if err != nil || a.Ctime != int64(since) || a.Mtime != int64(since) {
			t.Errorf("since %d: %+v, %v", int64(since), a, err)
		}
		sizes = append(sizes, a.Size)
		if a.Size == 6 && string(h.read(h.at(since), 5, 0, 100)) != "onetwo" {
			t.Errorf("O4: reads %q", h.read(h.at(since), 5, 0, 100))
		}
		return true
	})
	if want := []int64{-1, 0, 6, 3}; len(sizes) != len(want) || sizes[0] != -1 || sizes[1] != 0 || sizes[2] != 6 || sizes[3] != 3 {
		t.Errorf("sizes %v, want %v", sizes, want)
	}
}
