package node

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"dfs/errs"
	"dfs/views"
)

func TestViewState(t *testing.T) {
	d := mustOpen(t, testConfig(t))
	defer d.Close()
	if v, err := d.loadView(); err != nil || !reflect.DeepEqual(v, views.Durable{}) {
		t.Fatalf("a new node has %+v, %v", v, err)
	}
	want := views.Durable{View: views.View{ID: 3, Members: []views.Member{{Node: 1, Incarnation: 2}}}}
	if err := d.saveView(want); err != nil {
		t.Fatal(err)
	}
	if got, err := d.loadView(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	path := filepath.Join(d.Path, viewName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		broken := append([]byte(nil), whole...)
		broken[i] ^= 0x10
		if os.WriteFile(path, broken, 0o600) != nil {
			t.Fatal("write failed")
		}
		if _, err := d.loadView(); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("byte %d flipped: %v", i, err)
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
