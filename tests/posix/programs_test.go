package posix

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// need skips a test where a program is not installed.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

func (w *world) shell(node int, script string) string {
	w.Helper()
	out, _, err := command(filepath.Join(cluster.mount(node), w.dir), 2*time.Minute, nil, "sh", "-ec", script)
	if err != nil {
		w.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return out
}

// SQLite at three mounts shares one database: its locks of byte ranges keep the transactions apart.
func TestSQLite(t *testing.T) {
	need(t, "sqlite3")
	w := newWorld(t, true)
	const each = 40
	w.shell(0, `sqlite3 db 'CREATE TABLE sum(n); INSERT INTO sum VALUES(0); CREATE TABLE rows(node, i);'`)
	var all sync.WaitGroup
	for n := range mounts {
		all.Go(func() {
			script := ".timeout 60000\n"
			for i := range each {
				script += fmt.Sprintf("BEGIN IMMEDIATE; UPDATE sum SET n = n + 1; INSERT INTO rows VALUES(%d, %d); COMMIT;\n", n, i)
			}
			cmd := exec.Command("sqlite3", "-bail", "db")
			cmd.Dir, cmd.Stdin = filepath.Join(cluster.mount(n), w.dir), strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("mount %d: %v\n%s", n+1, err, out)
			}
		})
	}
	all.Wait()
	for n := range mounts {
		got := w.shell(n, `sqlite3 db 'PRAGMA integrity_check; SELECT n FROM sum; SELECT count(*) FROM rows; SELECT count(DISTINCT node*1000+i) FROM rows;'`)
		if want := fmt.Sprintf("ok\n%d\n%[1]d\n%[1]d\n", mounts*each); got != want {
			t.Errorf("mount %d: %q, want %q", n+1, got, want)
		}
	}
}

// odd makes a tree with everything that an archive can hold.
func (w *world) odd() {
	w.Helper()
	w.shell(0, `
		mkdir -p src/deep/er src/empty && cd src
		for i in 1 2 3 4 5; do head -c $((i * 30000)) /dev/urandom > deep/f$i; done
		ln deep/f1 hard && ln deep/f1 deep/er/hard2
		ln -s deep/f2 soft && ln -s nowhere dangling
		mkfifo fifo && mknod null c 1 3
		truncate -s 10M sparse && printf end >> sparse
		chmod 4755 deep/f3; chmod 1777 empty; chmod 0 deep/f4; chown 61001:62001 deep/f5
		touch -d '1969-12-31 23:59:58.5 UTC' hard; touch -h -d '2100-01-02 03:04:05.123456789 UTC' soft
	`)
	r := w.at(0, root)
	r.call(0, request{Op: "setxattr", Path: "src/deep/f2", Path2: "user.color", Data: []byte("blue")})
	r.call(0, request{Op: "setxattr", Path: "src/deep/f2", Path2: "trusted.deep", Data: []byte{0, 1, 2}})
	list := aclBytes(aclEntry{aclUserObj, 7, nobody}, aclEntry{aclUser, 7, uint32(bob.UID)}, aclEntry{aclGroupObj, 5, nobody},
		aclEntry{aclMask, 7, nobody}, aclEntry{aclOther, 5, nobody})
	r.call(0, request{Op: "setxattr", Path: "src/deep", Path2: aclDefault, Data: list})
	r.call(0, request{Op: "setxattr", Path: "src/deep/f1", Path2: aclAccess, Data: list})
}

// same says whether two trees are, with links, lists, attributes and times.
func (w *world) same(a, b string) {
	w.Helper()
	for n := range mounts {
		if diff := w.shell(n, fmt.Sprintf("rsync -aHAXnci --delete %s/ %s/", a, b)); diff != "" {
			w.Errorf("mount %d: %s and %s differ:\n%s", n+1, a, b, diff)
		}
	}
}

// rsync -aHAX copies a tree as it is, from mount to mount.
func TestRsync(t *testing.T) {
	need(t, "rsync")
	w := newWorld(t, true)
	w.odd()
	w.shell(1, "rsync -aHAXS src/ copy/")
	w.same("src", "copy")
	if st := w.as(root).stat("copy/hard"); st.Nlink != 3 {
		t.Errorf("%d hard links", st.Nlink)
	}
}

// tar keeps a tree with its attributes; so does cp -a.
func TestTar(t *testing.T) {
	need(t, "rsync", "tar")
	w := newWorld(t, true)
	w.odd()
	w.shell(1, "tar --xattrs --xattrs-include='*' --acls -S -C src -cf a.tar .")
	w.shell(2, "mkdir out && tar --xattrs --xattrs-include='*' --acls -C out -xpf a.tar && cp -a src again")
	w.same("src", "out")
	w.same("src", "again")
	if st := w.as(root).stat("again/sparse"); st.Blocks > 1000 {
		t.Errorf("the copy of a sparse file takes %d blocks", st.Blocks)
	}
}

// What compilers and editors do: build in the mount, replace files by renaming.
func TestBuild(t *testing.T) {
	need(t, "go")
	w := newWorld(t, true)
	dir := filepath.Join(cluster.mount(0), w.dir)
	w.shell(0, "mkdir tmp")
	env := []string{"TMPDIR=" + filepath.Join(dir, "tmp"), "GOCACHE=" + filepath.Join(dir, "cache"), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"}
	for name, text := range map[string]string{
		"go.mod":  "module hello\n\ngo 1.24\n",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"hello\\n\") }\n",
	} {
		w.shell(1, fmt.Sprintf("cat > %s.new <<'END'\n%sEND\nmv %[1]s.new %[1]s", name, text))
	}
	if out, _, err := command(dir, 3*time.Minute, env, "go", "build", "-o", "hello", "."); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out := w.shell(2, "./hello"); out != "hello\n" {
		t.Errorf("the program says %q", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "cache")); err != nil {
		t.Error(err)
	}
}
