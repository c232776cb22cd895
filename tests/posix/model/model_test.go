package model

import (
	"reflect"
	"syscall"
	"testing"
)

// PM1, PM2: programs follow from their seeds, and can be written down.
func TestPrograms(t *testing.T) {
	for seed := range uint64(20) {
		p := Random(seed, 50)
		if !reflect.DeepEqual(p, Random(seed, 50)) {
			t.Fatal("PM1: two programs of one seed")
		}
		q, err := Parse("# a comment\n\n" + p.String())
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("PM2: %v\n%s%s", err, p, q)
		}
	}
	for _, bad := range []string{"1 stat a", "9 stat a b 0 0 0 0", "1 stat a b 7 0 0 0", "x"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("PM2: %q is a program", bad)
		}
	}
}

// PM3: of a long program only the steps are left that it fails for.
func TestMinimize(t *testing.T) {
	p := Random(1, 200)
	p[20].Op, p[150].Op = "first", "then"
	got := Minimize(p, func(p Program) bool {
		seen := false
		for _, s := range p {
			seen = seen || s.Op == "first"
			if s.Op == "then" && seen {
				return true
			}
		}
		return false
	})
	if len(got) != 2 || got[0].Op != "first" || got[1].Op != "then" {
		t.Fatalf("PM3: left are\n%s", got)
	}
}

// The model says what rename(2) and its like say.
func TestTree(t *testing.T) {
	m := New()
	for _, c := range []struct {
		s    Step
		want Answer
	}{
		{Step{Op: "mkdir", Path: "a", Arg: 0o755}, Answer{}},
		{Step{Op: "mkdir", Path: "a/b", Arg: 0o755}, Answer{}},
		{Step{Op: "create", Path: "c", Arg: 0o644}, Answer{}},
		{Step{Op: "rename", Path: "a", Path2: "a/b/c"}, Answer{Errno: syscall.EINVAL}},
		{Step{Op: "rename", Path: "a/b", Path2: "a"}, Answer{Errno: syscall.ENOTEMPTY}},
		{Step{Op: "rename", Path: "c", Path2: "a/b"}, Answer{Errno: syscall.EISDIR}},
		{Step{Op: "open", Path: "c"}, Answer{}},
		{Step{Op: "unlink", Path: "c"}, Answer{}},
		{Step{Op: "swrite", Off: 3, Len: 2}, Answer{}},
		{Step{Op: "sstat"}, Answer{Text: "file 644 links 0 size 5"}},
		{Step{Op: "stat", Path: "a"}, Answer{Text: "dir 755 links 3 size 0"}},
		{Step{Op: "rmdir", Path: "a"}, Answer{Errno: syscall.ENOTEMPTY}},
		{Step{Op: "list", Path: "a"}, Answer{Text: "b"}},
	} {
		if got := m.Do(c.s); got != c.want {
			t.Errorf("%v: %v, want %v", c.s, got, c.want)
		}
	}
}
