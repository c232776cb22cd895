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

// sources makes a C project: a program of many modules, of which each includes the header of the one before, and a Makefile that
// knows which.
func (w *world) sources(modules int) {
	w.Helper()
	objects, files := "objects =", map[string]string{}
	for m := range modules {
		include, more := "", "0"
		if m > 0 {
			include, more = fmt.Sprintf("#include \"m%d.h\"\n", m-1), fmt.Sprintf("f%d()", m-1)
		}
		objects += fmt.Sprintf(" m%d.o", m)
		files[fmt.Sprintf("m%d.h", m)] = fmt.Sprintf("#define STEP%d 1\nint f%[1]d(void);\n", m)
		files[fmt.Sprintf("m%d.c", m)] = fmt.Sprintf("#include \"m%d.h\"\n%sint f%[1]d(void) { return STEP%[1]d + %[3]s; }\n", m, include, more)
	}
	files[fmt.Sprintf("m%d.c", modules-1)] += fmt.Sprintf("#include <stdio.h>\nint main(void) { printf(\"%%d\\n\", f%d()); return 0; }\n", modules-1)
	files["Makefile"] = objects + `
program: $(objects)
	cc -o $@.new $(objects)
	mv $@.new $@
%.o: %.c
	cc -O1 -MMD -MP -c -o $@ $<
-include $(objects:.o=.d)
clean:
	rm -f program *.o *.d
.PHONY: clean
`
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(cluster.mount(0), w.dir, name), []byte(text), 0o644); err != nil {
			w.Fatal(err)
		}
	}
}

// make in a C project goes by the times of files: what was built at one mount is up to date at another, and what is changed at
// one is built again at the other, no more and no less.
func TestMake(t *testing.T) {
	need(t, "make", "cc")
	w := newWorld(t, true)
	const modules = 12
	w.sources(modules)
	compiled := func(node int) int { return strings.Count(w.shell(node, "make -j2"), " -c ") }
	if n := compiled(0); n != modules {
		t.Errorf("%d of %d modules were compiled at first", n, modules)
	}
	for n := range mounts {
		if out := w.shell(n, "make; ./program"); !strings.Contains(out, "up to date") || !strings.HasSuffix(out, fmt.Sprintf("\n%d\n", modules)) {
			t.Errorf("mount %d: what is built is not up to date: %s", n+1, out)
		}
	}
	for round := range 6 {
		at, then := round%mounts, (round+1)%mounts
		m := round % (modules - 1)
		w.shell(at, fmt.Sprintf("sed -i 's/STEP%d .*/STEP%[1]d %d/' m%[1]d.h", m, 100+round))
		if n := compiled(then); n != 2 { // the module, and the one that includes its header
			t.Errorf("round %d: %d modules were compiled, want 2", round, n)
		}
	}
	want := modules - 6 + 600 + 15
	for n := range mounts {
		if out := w.shell(n, "make -q && ./program"); out != fmt.Sprintln(want) {
			t.Errorf("mount %d: the program says %q, want %d", n+1, out, want)
		}
	}
	w.shell(2, "make clean")
	if out := w.shell(1, "ls"); strings.Contains(out, ".o") || strings.Contains(out, "program") {
		t.Errorf("after make clean: %s", out)
	}
}

// Clones of a repository, each at another mount, push to it at once: git's locks and renames let one through at a time, and the
// others fetch, rebase and try again.
func TestGitPushes(t *testing.T) {
	need(t, "git")
	w := newWorld(t, true)
	const each = 4
	git := `export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=x GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=x@x GIT_CONFIG_KEY_2=init.defaultBranch GIT_CONFIG_VALUE_2=main
`
	w.shell(0, git+"git init -q --bare all.git; git clone -q all.git first 2>/dev/null; cd first; git commit -q --allow-empty -m first; git push -q origin HEAD")
	var all sync.WaitGroup
	for n := range mounts {
		all.Go(func() {
			script := git + fmt.Sprintf("git clone -q all.git clone%d; cd clone%[1]d\n", n)
			for i := range each {
				script += fmt.Sprintf(`echo %d > file-%d-%[1]d; git add .; git commit -qm "%[2]d %[1]d"
until git push -q origin HEAD 2>/dev/null; do git fetch -q; git rebase -q origin/main; done
`, i, n)
			}
			dir := filepath.Join(cluster.mount(n), w.dir)
			if out, _, err := command(dir, 3*time.Minute, nil, "sh", "-ec", script); err != nil {
				t.Errorf("mount %d: %v\n%s", n+1, err, out)
			}
		})
	}
	all.Wait()
	for n := range mounts {
		out := w.shell(n, git+fmt.Sprintf("git -C all.git fsck --strict 2>&1; git -C all.git rev-list --count main; git clone -q all.git last%d; ls last%[1]d | wc -l", n))
		if want := fmt.Sprintf("%d\n%d\n", 1+mounts*each, mounts*each); !strings.HasSuffix(out, want) || strings.Contains(out, "error") || strings.Contains(out, "missing") {
			t.Errorf("mount %d: %s, want %s", n+1, out, want)
		}
	}
}

// find and du see the same tree at every mount; cp --reflink=auto copies within it.
func TestFindAndDu(t *testing.T) {
	w := newWorld(t, true)
	w.shell(0, "mkdir -p src/d/empty; for i in 1 2 3; do head -c 40000 /dev/zero | tr '\\0' $i > src/d/f$i; done; ln src/d/f1 src/hard; truncate -s 50M src/sparse")
	w.shell(1, "cp -a --reflink=auto src/d/f2 src/copy; chmod 600 src/copy; touch -d '1 hour ago' src/d/f3; ln -s d src/link")
	for n := range mounts {
		for script, want := range map[string]string{
			"find src -samefile src/hard | sort":      "src/d/f1\nsrc/hard\n",
			"find src -type d -empty":                 "src/d/empty\n",
			"find src -type f -mmin +30":              "src/d/f3\n",
			"find src -perm 600":                      "src/copy\n",
			"find -L src -name f2 | sort":             "src/d/f2\nsrc/link/f2\n",
			"find src -type f -links 1 -size -1k":     "",
			"cmp src/copy src/d/f2; wc -c < src/copy": "40000\n",
		} {
			if got := w.shell(n, script); got != want {
				t.Errorf("mount %d: %s: %q, want %q", n+1, script, got, want)
			}
		}
		var used, apparent int
		if _, err := fmt.Sscan(w.shell(n, "du -s --block-size=1 src; du -s --apparent-size --block-size=1 src"), &used, new(string), &apparent); err != nil {
			t.Fatal(err)
		}
		// Four files of 40,000 bytes, one of which has two names, the hole, and what directories are said to have.
		if used < 4*40000 || used > 4*40000+8*8192 || apparent < 50<<20 {
			t.Errorf("mount %d: du says that %d bytes are used, and %d apparent", n+1, used, apparent)
		}
	}
}

// vim keeps a swap file while it edits, by which a vim at another mount knows that somebody does, and writes by renaming.
func TestVim(t *testing.T) {
	need(t, "vim")
	w := newWorld(t, true)
	w.shell(0, "echo one > text; ls -i text > before")
	vim := "vim -es -u NONE -N "
	w.shell(1, vim+`-c 'set backup backupskip= backupcopy=no' -c 's/one/two/' -c 'wq' text`)
	for n := range mounts {
		if got := w.shell(n, "cat text text~; ls -A; ls -i text~ | tr -d '~' | cmp - before"); got != "two\none\nbefore\ntext\ntext~\n" {
			t.Errorf("mount %d: after an edit: %q", n+1, got)
		}
	}
	script := fmt.Sprintf("-c 'set directory=.' -c 'edit text' -c 's/two/three/' -c 'preserve' -c '!ls -A %s/%s | grep swp > %[1]s/%[2]s/seen' -c 'wq'", cluster.mount(2), w.dir)
	w.shell(0, vim+script)
	if got := w.shell(1, "cat seen text; ls -A | grep swp || true"); got != ".text.swp\nthree\n" {
		t.Errorf("while it is edited another mount shows, and in the end there is: %q", got)
	}
}
