package fabric

import "testing"

// F5: a region keeps to the connection of its first write.
func TestFence(t *testing.T) {
	var f Fence
	if f.Open() || f.Allows(1) {
		t.Fatal("F5: a write was allowed with no connection")
	}
	f.Connected()
	if !f.Open() || f.Allows(1) {
		t.Fatal("F5: region 1 lost its first write, yet a later one was allowed")
	}
	for range 2 {
		if !f.Allows(2) {
			t.Fatal("a fresh region was refused")
		}
	}
	f.Disconnected()
	if f.Allows(2) || f.Allows(3) {
		t.Fatal("F5: a write was allowed with no connection")
	}
	f.Connected()
	for id, want := range map[RegionID]bool{1: false, 2: false, 3: false, 4: true} {
		if f.Allows(id) != want {
			t.Errorf("region %d on the second connection: allowed %v, want %v", id, !want, want)
		}
	}
}

func TestAlloc(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 4096, 1<<20 + 3} {
		b := Alloc(n)
		if len(b) != n || cap(b) != n {
			t.Errorf("Alloc(%d): length %d, capacity %d", n, len(b), cap(b))
		}
		if !Aligned(b) || n > 1 && Aligned(b[1:]) {
			t.Errorf("Alloc(%d) is not aligned, or Aligned is wrong", n)
		}
		if w := Words(b); len(w) != n/8 {
			t.Errorf("Words of %d bytes: %d words", n, len(w))
		}
	}
}
