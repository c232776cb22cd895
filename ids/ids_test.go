package ids

import "testing"

// I2: versions compare in delivery order, over all views.
func TestVersionOrder(t *testing.T) {
	ordered := []Version{0, MakeVersion(1, 0), MakeVersion(1, 1), MakeVersion(1, MaxSeq), MakeVersion(2, 0), MakeVersion(MaxView, MaxSeq)}
	for i := 1; i < len(ordered); i++ {
		if ordered[i-1] >= ordered[i] {
			t.Errorf("%v is not before %v", ordered[i-1], ordered[i])
		}
	}
}

func TestVersionText(t *testing.T) {
	v := MakeVersion(3, 1042)
	if v.String() != "3.1042" || v.View() != 3 || v.Seq() != 1042 {
		t.Fatalf("got %v, view %d, seq %d", v, v.View(), v.Seq())
	}
	if back, err := ParseVersion("3.1042"); err != nil || back != v {
		t.Fatalf("ParseVersion: %v, %v", back, err)
	}
	for _, bad := range []string{"", "3", "3.", ".1", "-1.2", "3.1042x", "99999999999.1", "1.1099511627776"} {
		if v, err := ParseVersion(bad); err == nil {
			t.Errorf("ParseVersion(%q) = %v, want an error", bad, v)
		}
	}
}

// I1: what was never set is none.
func TestNone(t *testing.T) {
	if v := MakeVersion(0, 0); v != 0 || RootIno == 0 {
		t.Fatalf("version 0.0 is %d, the root inode is %d", uint64(v), RootIno)
	}
}

// I3: a number that does not fit is refused, not cut off.
func TestMakeVersionRange(t *testing.T) {
	for _, make := range []func(){
		func() { MakeVersion(1, MaxSeq+1) },
		func() { MakeVersion(MaxView+1, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("I3: a version out of range was made")
				}
			}()
			make()
		}()
	}
}
