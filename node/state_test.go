package node

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dfs/advice"
	"dfs/errs"
	"dfs/ids"
	"dfs/views"
)

// The view state that was saved last is there again, whatever of the next one a crash left, and though bits of it rot.
func TestViewState(t *testing.T) {
	d := mustOpen(t, testConfig(t))
	defer d.Close()
	state := func(n ids.ViewID) views.Durable {
		return views.Durable{View: views.View{ID: n, Members: []views.Member{{Node: 1, Incarnation: 2}}}}
	}
	open := func(want views.Durable) *viewFile {
		t.Helper()
		f, got, err := d.openView()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		return f
	}
	path := filepath.Join(d.Path, viewName)
	var before []byte
	f := open(views.Durable{})
	for id := ids.ViewID(1); id <= 5; id++ {
		before, _ = os.ReadFile(path)
		if err := f.save(state(id)); err != nil {
			t.Fatal(err)
		}
		f.close()
		f = open(state(id))
	}
	defer f.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int) bool { return at >= len(before) || whole[at] != before[at] }
	read := func(b []byte) (views.Durable, error) {
		if os.WriteFile(path, b, 0o600) != nil {
			t.Fatal("write failed")
		}
		v, _, err := d.loadView()
		return v, err
	}
	tried := 0
	for _, at := range []int{0, viewPlace, 2 * viewPlace, 3 * viewPlace} {
		for i := at; i < min(at+viewHead+64, len(whole)); i++ {
			if !changed(i) {
				continue
			}
			tried++
			broken := slices.Clone(whole)
			broken[i] ^= 0x10
			if got, err := read(broken); err != nil || !reflect.DeepEqual(got, state(5)) {
				t.Errorf("byte %d flipped: %+v, %v", i, got, err)
			}
			torn := append(slices.Clone(whole[:i]), before[i:]...) // as a crash would leave it
			if got, err := read(torn); err != nil || !reflect.DeepEqual(got, state(5)) && !reflect.DeepEqual(got, state(4)) {
				t.Errorf("torn at %d: %+v, %v", i, got, err)
			}
		}
	}
	if tried == 0 {
		t.Error("the last saving changed nothing")
	}
	broken := slices.Clone(whole)
	for at := 0; at < len(whole); at += viewPlace {
		broken[at] ^= 1
	}
	if _, err := read(broken); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("nothing is whole: %v", err)
	}
}

// What another version of the program wrote is said to be that, not to be damaged.
func TestOtherFormat(t *testing.T) {
	c := testConfig(t)
	mustOpen(t, c).Close()
	path := filepath.Join(c.Data, identityName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []int{Format - 1, Format + 1} {
		other := strings.Replace(string(text), fmt.Sprint("format = ", Format), fmt.Sprint("format = ", format), 1)
		if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDataDir(c); errs.KindOf(err) != errs.NotSupported || !strings.Contains(err.Error(), "another version of dfs wrote it") ||
			!strings.Contains(advice.Of(err), "dfs version") {
			t.Errorf("format %d: %v, hint %q", format, err, advice.Of(err))
		}
	}
}

func TestFloor(t *testing.T) {
	d := mustOpen(t, testConfig(t))
	defer d.Close()
	for want := range 3 {
		f, got, err := d.openFloor()
		if err != nil || int(got) != want {
			t.Fatalf("floor %d, %v; want %d", got, err, want)
		}
		if err := f.save(got + 1); err != nil {
			t.Fatal(err)
		}
		f.close()
	}
	if err := os.WriteFile(filepath.Join(d.Path, floorName), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, got, err := d.openFloor(); err != nil || got != 0 {
		t.Errorf("a torn floor is %d, %v", got, err)
	} else {
		f.close()
	}
}
