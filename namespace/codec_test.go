package namespace

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"dfs/errs"
	"dfs/ids"
)

// ops has one operation of each kind with every field set.
var ops = []Op{
	Init{UID: 1, GID: math.MaxUint32},
	Create{Parent: 1, Name: "n", Mode: 0o120777, Umask: 0o22, UID: 5, GID: 6, Rdev: 7, Target: "t", Exclusive: true},
	Tmpfile{Parent: 1, Mode: 0o600, Umask: 0o22, UID: 5, GID: 6, Linkable: true},
	Link{Ino: math.MaxUint64, Parent: 3, Name: "l"},
	Unlink{Parent: 1, Name: "u"},
	Rmdir{Parent: 1, Name: "d"},
	Rename{OldParent: 1, OldName: "a", NewParent: 2, NewName: "b", Flags: RenameExchange, UID: 5, GID: 6},
	SetAttr{Ino: 1, Valid: attrAll, Mode: 0o777, UID: 5, GID: 6, Atime: math.MinInt64, Mtime: -1, Ctime: math.MaxInt64},
	SetXattr{Ino: 1, Name: "user.a", Value: []byte{0, 1}, Flags: XattrReplace},
	RemoveXattr{Ino: 1, Name: "user.a"},
	Touch{Ino: 1},
	Release{Node: 1, Members: []ids.NodeID{1, 2}, Inos: []ids.Ino{3, 4, 5}},
	ReleaseAll{Node: 1, Members: []ids.NodeID{1, 2}, After: 9},
	Dropped{Inos: []ids.Ino{3, 4}},
	SetLock{Ino: 5, Lock: Lock{Owner: LockOwner{1, 2, math.MaxUint64}, Exclusive: true, Start: 3, End: MaxLockEnd, PID: 6}, Wait: true, Ticket: 8, Detect: true},
	Unlock{Ino: 5, Owner: LockOwner{1, math.MaxUint32, 3}, Whole: true, End: MaxLockEnd},
	TestLock{Ino: 5, Lock: Lock{Owner: LockOwner{1, 2, 3}, Start: 4, End: 5, PID: 6}},
	CancelLock{Ino: 5, Owner: LockOwner{1, 2, 3}, Ticket: 9},
	ReleaseNode{Node: 1, Incarnation: 2},
	Claim{Token: TokenID{1, 15: 2}, Key: KeyHash{3, 31: 4}, Address: "10.0.0.4:7940", Expires: -5, Replace: 6, Highest: math.MaxUint32},
	RaiseClaim{Token: TokenID{1, 15: 2}, State: Closed},
}

func TestOpsRoundTrip(t *testing.T) {
	seen := map[code]bool{}
	for _, op := range ops {
		b := op.Encode()
		seen[code(b[0])] = true
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, op) {
			t.Errorf("%T: got %+v, %v; want %+v", op, got, err, op)
		}
		for n := range len(b) {
			if got, err := Decode(b[:n]); errs.KindOf(err) != errs.Invalid {
				t.Errorf("%T cut to %d of %d bytes: %+v, %v", op, n, len(b), got, err)
			}
		}
		if _, err := Decode(append(b[:len(b):len(b)], 0)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%T with a byte too many: %v", op, err)
		}
	}
	for c := codeInit; c <= codeRaiseClaim; c++ {
		if !seen[c] {
			t.Errorf("code %d has no operation here", c)
		}
	}
}

// A length makes no more room than there are bytes.
func TestLengthsDoNotAllocate(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, b := range [][]byte{
		append([]byte{byte(codeDropped)}, huge...),
		append([]byte{byte(codeDropped)}, 0x80, 0x20), // 4096 inodes, none there
		append([]byte{byte(codeRelease), 1}, huge...),
		append([]byte{byte(codeUnlink), 1}, huge...),
	} {
		if allocs := testing.AllocsPerRun(10, func() { Decode(b) }); allocs > 5 {
			t.Errorf("%x: %v allocations", b, allocs)
		}
	}
}

// T6: what is written decodes to the same, and what cannot have been written does not decode.
func TestInodeRoundTrip(t *testing.T) {
	for _, n := range []Inode{
		{Mode: 0o100644, UID: math.MaxUint32, GID: 1, Nlink: 2, XattrBytes: 9, Linkable: true},
		{Mode: 0o41777, Nlink: math.MaxUint32, Parent: math.MaxUint64, Entries: math.MaxUint64},
		{Mode: 0o120777, Target: strings.Repeat("t", MaxTarget)},
		{Mode: 0o20600, Rdev: math.MaxUint32},
		{Mode: 0o60600, Btime: 5, Atime: math.MinInt64, Mtime: math.MaxInt64, Ctime: -1},
		{Mode: 0o10600, Btime: math.MinInt64, Atime: math.MaxInt64},
	} {
		b := n.Encode()
		if got, err := DecodeInode(b); err != nil || got != n {
			t.Errorf("got %+v, %v; want %+v", got, err, n)
		}
		for i := range len(b) {
			if _, err := DecodeInode(b[:i]); errs.KindOf(err) != errs.Corrupt {
				t.Errorf("T6: %d of %d bytes of %+v decode: %v", i, len(b), n, err)
			}
		}
	}
	for _, b := range []string{"", "\x02\x00", "\x01\x02", "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		if n, err := DecodeInode([]byte(b)); err == nil {
			t.Errorf("T6: %q decodes to %+v", b, n)
		}
	}
}

func TestResultsRefuseDamage(t *testing.T) {
	for name, decode := range map[string]func([]byte) error{
		"inode":   func(b []byte) error { _, err := DecodeInodeResult(b); return err },
		"create":  func(b []byte) error { _, err := DecodeCreateResult(b); return err },
		"unlink":  func(b []byte) error { _, err := DecodeUnlinkResult(b); return err },
		"rename":  func(b []byte) error { _, err := DecodeRenameResult(b); return err },
		"release": func(b []byte) error { _, err := DecodeReleaseResult(b); return err },
		"dirent":  func(b []byte) error { _, _, err := DecodeDirent(b); return err },
		"orphan":  func(b []byte) error { _, err := decodeOrphan(b); return err },
	} {
		for _, b := range []string{"", "\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x00\xff\xff\xff\x0f", "\x01\x09\x03\x04\x05\x06"} {
			if err := decode([]byte(b)); errs.KindOf(err) != errs.Corrupt {
				t.Errorf("%s result %q: %v", name, b, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, op := range ops {
		f.Add(op.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(op.Encode())
		if err != nil || !reflect.DeepEqual(op, again) {
			t.Fatalf("%+v became %+v, %v", op, again, err)
		}
	})
}

// FuzzRecords feeds the decoders of records and results.
func FuzzRecords(f *testing.F) {
	f.Add((&Inode{Mode: 0o40755, Nlink: 2, Parent: 1}).Encode())
	f.Add(encodeDirent(5, Regular))
	f.Add(acl{{tagUserObj, 7, 0}, {tagGroupObj, 5, 0}, {tagOther, 0, 0}}.encode())
	f.Add(ReleaseResult{Gone: []Gone{{1, Regular}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := DecodeInode(b); err == nil {
			if again, err := DecodeInode(n.Encode()); err != nil || again != n {
				t.Fatalf("%+v became %+v, %v", n, again, err)
			}
		}
		if a, ok := parseACL(b); ok && len(a) > 0 {
			a.chmod(0o751)
			if perm, _ := a.bits(); perm != 0o751 {
				t.Fatalf("list %v has bits %o", a, perm)
			}
		}
		DecodeDirent(b)
		decodeOrphan(b)
		DecodeInodeResult(b)
		DecodeCreateResult(b)
		DecodeUnlinkResult(b)
		DecodeRenameResult(b)
		DecodeReleaseResult(b)
	})
}

// FuzzApply applies any bytes to a state that has a bit of everything: nothing panics, the invariants
// hold, and what fails changes nothing (T5).
func FuzzApply(f *testing.F) {
	for _, op := range ops {
		f.Add(op.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := start(t)
		h.create(Create{Parent: 1, Name: "a", Mode: 0o100644})                        // 2
		h.create(Create{Parent: 1, Name: "b", Mode: 0o42755})                         // 3
		h.create(Create{Parent: 3, Name: "c", Mode: 0o40755})                         // 4
		h.create(Create{Parent: 3, Name: "d", Mode: 0o100644})                        // 5
		h.create(Create{Parent: 4, Name: "l", Mode: 0o120777, Target: "x"})           // 6
		h.must(Link{Ino: 2, Parent: 4, Name: "a"})                                    //
		h.must(SetXattr{Ino: 2, Name: "user.a", Value: []byte("1")})                  //
		h.must(SetXattr{Ino: 3, Name: aclDefault, Value: xattrValue("acl:u7,g5,o0")}) //
		h.must(Unlink{Parent: 3, Name: "d"})                                          // 5 is an orphan
		before := dump(h.r())
		kind, _ := h.apply(b)
		h.check()
		if after := dump(h.r()); kind != errs.OK && after != before {
			t.Fatalf("T5: %v:\n%s\nbefore:\n%s", kind, after, before)
		}
	})
}
