package fusefs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dfs/hlc"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// moment returns a SPEC for now: whatever happens after this call is later.
func (m *mounted) moment() string {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	at := m.store.clock.Now(m.store.Physical())
	return fmt.Sprintf("%d.%09d", at/1e9, at%1e9)
}

// tree fills the mount with some files and returns the moment; then it changes nearly all of them.
func (m *mounted) tree(t testing.TB) (then string) {
	t.Helper()
	m.sh(t, `mkdir -p src/a/b src/c
		echo one >src/one; echo two >src/a/two; echo three >src/a/b/three
		ln src/one src/c/hard; ln -s ../one src/a/soft; mkfifo src/pipe
		chmod 600 src/a/two; touch -d 2001-02-03T04:05:06.789 src/c/hard`)
	must(t, unix.Setxattr(filepath.Join(m.dir, "src/one"), "user.colour", []byte("green"), 0))
	then = m.moment()
	m.sh(t, `echo ONE, longer >src/one; rm src/a/two; mv src/a/b src/c/b; mkdir src/a/b; echo new >src/a/b/new
		chmod 755 src/a; rm src/pipe src/a/soft`)
	must(t, unix.Setxattr(filepath.Join(m.dir, "src/one"), "user.colour", []byte("red"), 0))
	return then
}

func TestPast(t *testing.T) {
	m := mount(t)
	then := m.tree(t)
	past := "src/@t=" + then
	script := func(dir string) string {
		return fmt.Sprintf(`cd %s; find . | LC_ALL=C sort; cat one a/two a/b/three a/soft; stat -c '%%a %%s %%h' one a/two; stat -c %%y one`, dir)
	}
	want := `.
./a
./a/b
./a/b/three
./a/soft
./a/two
./c
./c/hard
./one
./pipe
one
two
three
one
644 4 2
600 4 1
2001-02-03 04:05:06.789000000 `
	for _, dir := range []string{past, "@t=" + then + "/src", "src@t=" + then, past + "/a/.."} {
		if got := m.sh(t, script(dir)); !strings.HasPrefix(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", dir, got, want)
		}
	}
	if got := m.sh(t, "cat src/one@t="+then+" src/a/two@t="+then); got != "one\ntwo" {
		t.Errorf("FILE@t=: %q", got)
	}
	value := make([]byte, 10)
	if n, err := unix.Getxattr(filepath.Join(m.dir, past, "one"), "user.colour", value); err != nil || string(value[:n]) != "green" {
		t.Errorf("attribute then: %q, %v", value[:n], err)
	}
	// Programs that walk trees and compare inode numbers.
	m.sh(t, "mkdir out; cp -a "+past+" out/copy; diff -r "+past+" out/copy 2>&1 | grep -v 'is a fifo' || true; [ -z \"$(diff -r "+past+" out/copy 2>&1 | grep -v 'is a fifo')\" ]")
	walk := "cd " + past + "/a/b; /bin/pwd; cd -P ../..; ls; cd -P ..; /bin/pwd; cat one"
	if got := m.sh(t, walk); got != m.dir+"/"+past+"/a/b\na\nc\none\npipe\n"+m.dir+"/src\nONE, longer" {
		t.Errorf("cd .. below the past:\n%s", got)
	}
	if got := m.sh(t, "ls -lR "+past+" >/dev/null; find "+past+" -type f | wc -l"); got != "4" {
		t.Errorf("find -type f: %s files, want 4", got)
	}
	if names, err := os.ReadDir(filepath.Join(m.dir, "src")); err != nil || strings.Contains(fmt.Sprint(names), "@") {
		t.Errorf("a listing shows names of the past: %v, %v", names, err)
	}
}

// The past has other inode numbers than the present, the same on every node, and hard links are still recognised.
func TestPastInodeNumbers(t *testing.T) {
	m := mount(t)
	then := m.tree(t)
	p := func(name string) string { return filepath.Join(m.dir, "src/@t="+then, name) }
	one, hard, live := stat(t, p("one")), stat(t, p("c/hard")), stat(t, filepath.Join(m.dir, "src/one"))
	if one.Ino != hard.Ino || one.Ino == live.Ino || one.Ino>>63 != 1 {
		t.Errorf("inode numbers: %#x and %#x then, %#x now", one.Ino, hard.Ino, live.Ino)
	}
	entries := m.sh(t, "ls -i src/@t="+then+"/one")
	if !strings.HasPrefix(entries, fmt.Sprint(one.Ino)) {
		t.Errorf("readdir says %s, stat %d", entries, one.Ino)
	}
	other := remount(t, m.store)
	again := stat(t, filepath.Join(other.dir, "src/@t="+then, "one"))
	if again.Ino != one.Ino {
		t.Errorf("another mount says %#x, not %#x", again.Ino, one.Ino)
	}
	if got := pastIno(7, 1763802000_000000001); got != 0xfefcba9a2031eb70 {
		t.Errorf("pastIno has changed: %#x", got)
	}
}

// U4: the past is read-only.
func TestPastIsReadOnly(t *testing.T) {
	m := mount(t)
	then := m.tree(t)
	p := func(name string) string { return filepath.Join(m.dir, "src/@t="+then, name) }
	live := func(name string) string { return filepath.Join(m.dir, "src", name) }
	open := func(path string, flags int) error {
		fd, err := unix.Open(path, flags, 0o644)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	for what, err := range map[string]error{
		"create":           open(p("new"), unix.O_CREAT|unix.O_WRONLY),
		"open to write":    open(p("one"), unix.O_WRONLY),
		"open to append":   open(p("one"), unix.O_RDWR|unix.O_APPEND),
		"open to truncate": open(p("one"), unix.O_RDONLY|unix.O_TRUNC),
		"FILE@t=":          open(live("one@t="+then), unix.O_WRONLY),
		"tmpfile":          open(p("a"), unix.O_TMPFILE|unix.O_RDWR),
		"truncate":         unix.Truncate(p("one"), 0),
		"chmod":            os.Chmod(p("one"), 0o600),
		"chown":            os.Chown(p("one"), 1, 1),
		"utimes":           os.Chtimes(p("one"), time.Now(), time.Now()),
		"mkdir":            os.Mkdir(p("x"), 0o755),
		"mknod":            unix.Mknod(p("x"), unix.S_IFIFO, 0),
		"symlink":          os.Symlink("x", p("x")),
		"unlink":           unix.Unlink(p("one")),
		"rmdir":            unix.Rmdir(p("c")),
		"rename":           os.Rename(p("one"), p("two")),
		"rename out":       os.Rename(p("one"), live("x")),
		"rename in":        os.Rename(live("one"), p("x")),
		"rename door":      os.Rename(live("@t="+then), live("x")),
		"remove door":      unix.Rmdir(live("@t=" + then)),
		"remove history":   unix.Rmdir(live("@history")),
		"remove FILE@t=":   unix.Unlink(live("one@t=" + then)),
		"link in":          os.Link(live("one"), p("x")),
		"setxattr":         unix.Setxattr(p("one"), "user.a", nil, 0),
		"removexattr":      unix.Removexattr(p("one"), "user.colour"),
		"in history":       os.Mkdir(live("@history/x"), 0o755),
		"history of names": os.Mkdir(live("@history/one/x"), 0o755),
	} {
		want(t, what, err, unix.EROFS)
	}
	want(t, "link out", os.Link(p("one"), live("x")), unix.EXDEV)
}

// A name of the past that leads nowhere does not exist, and the log says why.
func TestPastThatIsNot(t *testing.T) {
	m := mount(t)
	before := m.moment()
	must(t, os.Mkdir(filepath.Join(m.dir, "young"), 0o755))
	for name, reason := range map[string]string{
		"@t=soon":                  "is no time",
		"@t=2999-01-01":            "out of the range",
		"@t=2200-01-01":            "has not come yet",
		"@t=2001-01-01":            "the filesystem began at",
		"@v=9.9":                   "no version 9.9",
		"@t=v=9.9":                 "no version 9.9",
		"none@t=" + m.moment():     "did not exist at",
		"young/@t=" + before:       "the directory did not exist",
		"@GMT-2001.01.01-00.00.00": "the filesystem began at",
	} {
		_, err := os.Stat(filepath.Join(m.dir, name))
		want(t, name, err, unix.ENOENT)
		if !strings.Contains(m.log.String(), reason) {
			t.Errorf("%s: the log does not say %q:\n%s", name, reason, m.log)
		}
	}
	_, err := os.Stat(filepath.Join(m.dir, "@snapshots"))
	want(t, "@snapshots", err, unix.ENOENT)
	for range 3 * linesPerSecond {
		_, _ = os.Stat(filepath.Join(m.dir, "@t=again"))
	}
	if n := strings.Count(m.log.String(), "again"); n > 2*linesPerSecond {
		t.Errorf("%d lines in the log for one mistake made in a loop", n)
	}
}

func TestPastByVersionAndZone(t *testing.T) {
	zone := time.FixedZone("east", 3*3600)
	m := mount(t, func(c *Config) { c.Zone = zone })
	write(t, filepath.Join(m.dir, "f"), "first")
	st := stat(t, filepath.Join(m.dir, "f"))
	ino := ids.Ino(st.Ino)
	res := m.store.must(m.store.DataShard(ino), objects.Write{Ino: ino}.Encode(), []byte("SECOND"))
	m.store.must(m.store.DataShard(ino), objects.Write{Ino: ino}.Encode(), []byte("THIRD."))
	for name, want := range map[string]string{
		fmt.Sprintf("f@v=%v", res.Version):                                                                        "SECOND",
		fmt.Sprintf("@v=%v/f", res.Version):                                                                       "SECOND",
		fmt.Sprintf("@t=v=%v/f", res.Version):                                                                     "SECOND",
		"f@t=" + res.Timestamp.Time().In(zone).Format("2006-01-02T15:04:05.000000000"):                            "SECOND",
		"f@t=" + (res.Timestamp - 1).Time().Format("2006-01-02T15:04:05.000000000Z07:00"):                         "first",
		"f@t=" + res.Timestamp.Time().In(time.FixedZone("", -7200)).Format("2006-01-02T15:04:05.000000000Z07:00"): "SECOND",
		"f@t=-0s": "THIRD.",
	} {
		if got := read(t, filepath.Join(m.dir, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A relative time is one moment for a process that walks a tree below it, but not for ever.
func TestRelativeTimes(t *testing.T) {
	m := newMoments()
	key := momentKey{process: 1, dir: 1, name: "@t=-10m"}
	const minute = hlc.Timestamp(time.Minute)
	first := m.resolve(key, 100*minute, 10*time.Minute)
	if first != 90*minute {
		t.Errorf("resolved to %v", first)
	}
	if again := m.resolve(key, 101*minute, 10*time.Minute); again != first {
		t.Errorf("crept on to %v", again)
	}
	if later := m.resolve(key, 101*minute+1, 10*time.Minute); later != 91*minute+1 {
		t.Errorf("stuck at %v", later)
	}
	other := key
	other.process = 2
	if got := m.resolve(other, 101*minute, 10*time.Minute); got != 91*minute {
		t.Errorf("another process got %v", got)
	}
	key.process = 0
	if got := m.resolve(key, 101*minute, 10*time.Minute); got != 91*minute {
		t.Errorf("a process that cannot be seen got %v", got)
	}
}

// U3: an open file or directory of the past stays as it was, and so does one reached by a relative name.
func TestOpenPastStays(t *testing.T) {
	m := mount(t)
	p := func(name string) string { return filepath.Join(m.dir, name) }
	write(t, p("f"), "then")
	f, err := os.Open(p("@t=-0s/f"))
	must(t, err)
	defer f.Close()
	d, err := os.Open(p("@t=-0s"))
	must(t, err)
	defer d.Close()
	write(t, p("f"), "now, and longer")
	write(t, p("g"), "new")
	buf := make([]byte, 100)
	if n, _ := f.ReadAt(buf, 0); string(buf[:n]) != "then" {
		t.Errorf("U3: an open file of the past holds %q", buf[:n])
	}
	if names, err := d.Readdirnames(-1); err != nil || fmt.Sprint(names) != "[f]" {
		t.Errorf("U3: an open directory of the past lists %v, %v", names, err)
	}
}

func TestHistory(t *testing.T) {
	m := mount(t)
	dir := filepath.Join(m.dir, "d")
	must(t, os.Mkdir(dir, 0o755))
	p := func(name string) string { return filepath.Join(dir, name) }
	f, err := os.Create(p("f"))
	must(t, err)
	for _, text := range []string{"a", "b", "c"} { // one run of three writes
		_, err := f.WriteString(text)
		must(t, err)
	}
	must(t, f.Close())
	write(t, p("f"), "second")
	must(t, os.Chtimes(p("f"), time.Unix(1e9, 5), time.Unix(1e9, 5))) // no version of its own
	must(t, os.Remove(p("f")))
	write(t, p("tmp"), "third, moved in")
	must(t, os.Rename(p("tmp"), p("f")))
	must(t, os.Truncate(p("f"), 5))
	versions := func(name string) []string {
		t.Helper()
		names, err := os.ReadDir(p("@history/" + name))
		must(t, err)
		var all []string
		last := ""
		for _, e := range names {
			if e.Name() <= last {
				t.Errorf("%s comes after %s", e.Name(), last)
			}
			last = e.Name()
			info, err := e.Info()
			must(t, err)
			text := ""
			if info.Mode().IsRegular() {
				text = read(t, p("@history/"+name+"/"+e.Name()))
				if int64(len(text)) != info.Size() {
					t.Errorf("%s: size %d, %d bytes", e.Name(), info.Size(), len(text))
				}
			}
			all = append(all, text)
		}
		return all
	}
	// U8: one version for each run of writes.
	if got := fmt.Sprintf("%q", versions("f")); got != `["abc" "second" "third, moved in" "third"]` {
		t.Errorf("U8: versions of f: %s", got)
	}
	if got := fmt.Sprintf("%q", versions("tmp")); got != `["third, moved in"]` {
		t.Errorf("versions of tmp: %s", got)
	}
	names, err := os.ReadDir(p("@history"))
	must(t, err)
	if fmt.Sprint(names) != "[d f/ d tmp/]" {
		t.Errorf("@history lists %v", names)
	}
	must(t, os.Mkdir(p("sub"), 0o755))
	write(t, p("sub/x"), "x")
	if got := m.sh(t, "ls d/@history/sub/*"); got != "" && !strings.Contains(got, "x") {
		t.Errorf("versions of a directory: %q", got)
	}
	_, err = os.Stat(p("@history/never"))
	want(t, "history of what never was", err, unix.ENOENT)
	_, err = os.Stat(p("@history/f/x"))
	want(t, "version that is none", err, unix.ENOENT)
	write(t, p("empty"), "")
	if got := fmt.Sprintf("%q", versions("empty")); got != `[""]` {
		t.Errorf("versions of an empty file: %s", got)
	}
	// A long life in the history costs no listing of the present.
	if got := m.sh(t, "ls d; find d -name '*history*'"); got != "empty\nf\nsub" {
		t.Errorf("listing: %q", got)
	}
}

// Who may not read a directory may not read its history either.
func TestPastPermissions(t *testing.T) {
	m := mount(t)
	m.sh(t, "mkdir -m 700 private; echo secret >private/f; chmod 644 private/f; mkdir public; echo x >public/f; chmod 600 public/f")
	closed := m.moment()
	m.sh(t, "chmod 644 public/f; chmod 755 private")
	opened := m.moment()
	m.sh(t, "chmod 700 private")
	nobody := func(script string) string {
		return m.sh(t, "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '("+script+") 2>&1' || true")
	}
	for script, want := range map[string]string{
		"cat private/@t=" + opened + "/f": "Permission denied", // may not pass the door now
		"cat @t=" + closed + "/private/f": "Permission denied", // could not then
		"cat @t=" + opened + "/private/f": "secret",            // could then
		"cat public/@t=" + closed + "/f":  "Permission denied",
		"cat public/f@t=" + opened:        "x",
		"ls private/@history":             "Permission denied",
		"ls public/@history/f | wc -l":    "1",
	} {
		if got := nobody(script); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// The namespace state machine must keep the past for names to be found there.
func TestVersionsOfRename(t *testing.T) {
	s := newFake()
	defer s.close()
	create := func(name string) ids.Ino {
		res := s.must(ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: name, Mode: unix.S_IFREG | 0o644}.Encode())
		made, err := namespace.DecodeCreateResult(res.Body)
		must(t, err)
		return made.Ino
	}
	put := func(ino ids.Ino, text string, mark bool) hlc.Timestamp {
		res := s.must(s.DataShard(ino), objects.Write{Ino: ino}.Encode(), []byte(text))
		if mark {
			s.must(s.DataShard(ino), objects.SetTimes{Ino: ino, KeepCtime: true}.Encode())
		}
		return res.Timestamp
	}
	a := create("a")
	want := []hlc.Timestamp{put(a, "1", true)}
	put(a, "2", false)
	want = append(want, put(a, "3", true), put(a, "4", false))
	b := create("b")
	put(b, "5", true)
	moved := s.must(ids.Namespace, namespace.Rename{OldParent: ids.RootIno, OldName: "b", NewParent: ids.RootIno, NewName: "a"}.Encode())
	want = append(want, moved.Timestamp, put(b, "6", true), put(b, "7", true))
	f := newFilesystem(t.Context(), Config{Store: s}.withDefaults())
	got := f.versions(ids.RootIno, "a")
	if len(got) != len(want) {
		t.Fatalf("U8: %d versions, want %d: %v", len(got), len(want), got)
	}
	for i, v := range got {
		if v.at != want[i] {
			t.Errorf("U8: version %d at %v, want %v", i, v.at, want[i])
		}
	}
}
