package mountpoint

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dfs/advice"
	"dfs/errs"
)

const sample = `22 28 0:20 / /proc rw,nosuid shared:12 - proc proc rw
90 28 0:52 / /mnt/with\040space rw,nosuid,nodev - fuse.dfs /var/lib/dfs\0111 rw,user_id=0
91 28 8:1 /sub /data rw master:1 propagate_from:2 - ext4 /dev/sda1 rw
broken line
`

func TestParse(t *testing.T) {
	want := []Mount{
		{"/proc", "proc", "proc"}, {"/mnt/with space", Type, "/var/lib/dfs\t1"}, {"/data", "ext4", "/dev/sda1"},
	}
	if got := parse(sample); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// MP1: every reason not to mount comes with a hint and the right kind.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file, full, free := filepath.Join(dir, "file"), filepath.Join(dir, "full"), filepath.Join(dir, "free")
	if os.WriteFile(file, nil, 0o600) != nil || os.MkdirAll(full+"/x", 0o700) != nil || os.Mkdir(free, 0o700) != nil {
		t.Fatal("set-up failed")
	}
	cases := []struct {
		path string
		kind errs.Kind
		hint string
	}{
		{free, errs.OK, ""},
		{filepath.Join(dir, "not there"), errs.NotFound, "mkdir -p '" + dir + "/not there'"},
		{file, errs.NotDirectory, "choose an empty directory"},
		{full, errs.NotEmpty, "choose an empty directory, for example: mkdir -p " + full + "-dfs"},
		{"/proc", errs.Busy, "choose an empty directory, or: umount /proc"},
		{file + "/below", errs.IO, "ls -ld " + file + "/below"},
	}
	for _, c := range cases {
		err := Check(c.path)
		if errs.KindOf(err) != c.kind || advice.Of(err) != c.hint {
			t.Errorf("Check(%s) = %v (%v), hint %q; want %v, hint %q", c.path, err, errs.KindOf(err), advice.Of(err), c.kind, c.hint)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("MP1: Check left %d entries, want 3", len(left))
	}
}

func TestCheckFUSE(t *testing.T) {
	dir := t.TempDir()
	err := CheckFUSE(filepath.Join(dir, "fuse"))
	if errs.KindOf(err) != errs.Unavailable || !strings.HasPrefix(advice.Of(err), "modprobe fuse") {
		t.Errorf("missing device: %v, hint %q", err, advice.Of(err))
	}
	if err := CheckFUSE(dir); errs.KindOf(err) != errs.IO || advice.Of(err) == "" {
		t.Errorf("a directory: %v, hint %q", err, advice.Of(err))
	}
}

func TestCheckApart(t *testing.T) {
	for _, c := range []struct {
		mount, data string
		ok          bool
	}{
		{"/mnt/a", "/mnt/b", true}, {"/mnt/a", "/mnt/ab", true}, {"/mnt/a", "/mnt/..a", true},
		{"/mnt/a", "/mnt/a", false}, {"/mnt/a", "/mnt/a/data", false}, {"/data/mnt", "/data", false}, {"/", "/data", false},
	} {
		err := CheckApart(c.mount, c.data)
		if (err == nil) != c.ok || (err != nil && advice.Of(err) == "") {
			t.Errorf("CheckApart(%s, %s) = %v, hint %q", c.mount, c.data, err, advice.Of(err))
		}
	}
}

// MP3: what is not a dfs is left alone. MP2: a path that is no mount is answered without asking it.
func TestOthersAreLeftAlone(t *testing.T) {
	if err := Detach("/proc"); err != nil {
		t.Error(err)
	}
	if _, still := At("/proc"); !still {
		t.Fatal("MP3: /proc was unmounted")
	}
	if s := StateOf("/proc"); s != Free {
		t.Errorf("MP2: state of /proc is %d, want Free", s)
	}
	if err := Unmount(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parse(text) {
			if m.Type == "" || m.Source == "" || m.Path == "" {
				t.Errorf("empty field in %q", m)
			}
		}
	})
}
