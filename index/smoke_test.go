package index

import (
	"testing"

	"dfs/hlc"
)

func TestSmoke(t *testing.T) {
	kv, err := OpenPebble(t.TempDir(), PebbleConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range []KV{NewMem(), kv} {
		x := New(kv, Config{})
		tx := x.Begin()
		w := tx.Writer(1, 10)
		w.Put([]byte("a"), []byte("1"))
		w.Put([]byte("b"), []byte("2"))
		tx.SetMeta("lsn", []byte("5"))
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		tx = x.Begin()
		w = tx.Writer(1, 20)
		w.Put([]byte("a"), []byte("3"))
		w.Delete([]byte("b"))
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		show := func(r Reader) (s string) {
			r.Scan(nil, nil, func(k, v []byte) bool { s += string(k) + "=" + string(v) + " "; return true })
			k, v, ok := r.Last(nil, nil)
			if ok {
				s += "last " + string(k) + "=" + string(v)
			}
			v, ok = r.Get([]byte("b"))
			if ok {
				s += " b=" + string(v)
			}
			return s
		}
		for i, want := range []string{"", "a=1 b=2 last b=2 b=2", "a=3 last a=3"} {
			if got := show(x.At(1, hlcAt(i))); got != want {
				t.Fatalf("at %d: %q, want %q", i, got, want)
			}
		}
		if v, ok := x.Meta("lsn"); !ok || string(v) != "5" {
			t.Fatal("meta")
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func hlcAt(i int) hlc.Timestamp { return hlc.Timestamp(5 + 10*i) }
