package posix

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	xfstests      = flag.String("xfstests", "", "directory of xfstests, built")
	xfstestsGroup = flag.String("xfstests-group", "quick", "which of them to run")
	xfstestsCases = flag.String("xfstests-cases", "", "only these, whatever group they are in: \"generic/001 generic/002\"")
)

// xfstestsExcluded are the tests that fail for a reason that exclusions.txt gives.
var xfstestsExcluded = map[string]string{
	"generic/003": "atime",
	"generic/192": "atime",
	"generic/504": "F_GETLK, /proc/locks",
	"generic/568": "fallocate",
}

// PX3: a test of others is left out for a reason that is in the list.
func TestOutsideExclusionsHaveReasons(t *testing.T) {
	text, err := os.ReadFile("exclusions.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []map[string]string{xfstestsExcluded, ltpExcluded} {
		for name, reason := range table {
			if !strings.Contains(string(text), "\n"+reason+": ") {
				t.Errorf("PX3: %s is left out because of %q, which is not in exclusions.txt", name, reason)
			}
		}
	}
}

// mountScript takes the place of mount(8): it starts the node whose mount is asked for, and the options that are the
// kernel's are set afterwards.
const mountScript = `#!/bin/bash
dir=${!#} options=
[[ " $* " == *" -t fuse.dfs "* ]] || exec %[1]s "$@"
while getopts "o:t:" o; do [ $o != o ] || options=$options,$OPTARG; done
if [[ ,$options, != *,remount,* ]]; then
	! mountpoint -q "$dir" || { echo "mount: $dir: already mounted" >&2; exit 32; }
	%[2]s dev restart "$(dirname "$dir")" "${dir##*/mnt}" >&2 || exit 32
fi
options=$(tr , '\n' <<<"$options" | grep -xE 'r[ow]|(no)?(suid|dev|exec|(dir|rel)?atime)' | paste -sd ,)
[ -z "$options" ] || exec %[1]s -o "remount,bind,$options" "$dir"
`

// unmountScript takes the place of umount(8): it finds the mount of a node by its data directory.
const unmountScript = `#!/bin/bash
args=()
for a; do [[ $a =~ ^(.*)/node([0-9])/data$ ]] && a=${BASH_REMATCH[1]}/mnt${BASH_REMATCH[2]}; args+=("$a"); done
exec %s "${args[@]}"
`

// dfScript takes the place of df(1): the type of the filesystem is told without its subtype.
const dfScript = `#!/bin/bash
set -o pipefail
%s "$@" | sed 's/fuse\.dfs/fuse    /'
`

// xfstestsPrograms makes a directory of programs that know how to mount dfs.
func xfstestsPrograms(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{"mount": mountScript, "umount": unmountScript, "df": dfScript} {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(script, real, cluster.binary)
		if !strings.Contains(script, "%[2]s") {
			text = fmt.Sprintf(script, real)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The quick group of xfstests, or another, as for any filesystem of FUSE: the test filesystem is the first mount of the cluster, the
// scratch filesystem that of a second cluster. Mounting starts the node, unmounting ends it. Some tests want users that
// its README names, and are not run without.
func TestXfstests(t *testing.T) {
	if *xfstests == "" {
		t.Skip("make posix XFSTESTS=dir runs it")
	}
	newWorld(t, false)
	scratch := filepath.Join(cluster.dir, "scratch")
	if err := cluster.dfs("dev", "start", scratch); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.dfs("dev", "stop", scratch); err != nil {
			t.Error(err)
		}
	})
	test := filepath.Join(cluster.dir, "c")
	for _, c := range []string{test, scratch} {
		config := filepath.Join(c, "node1", "node.toml")
		text, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, []byte("suid = true\ndev = true\n"+string(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := cluster.dfs("dev", "restart", c, "1"); err != nil {
			t.Fatal(err)
		}
	}
	results := t.TempDir()
	excluded := filepath.Join(results, "excluded")
	var names string
	for name := range xfstestsExcluded {
		names += name + "\n"
	}
	options := filepath.Join(results, "options") // none: whatever the machine has for other filesystems does not count
	for file, text := range map[string]string{excluded: names, options: ""} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=" + xfstestsPrograms(t) + ":" + os.Getenv("PATH"), "FSTYP=fuse", "FUSE_SUBTYP=.dfs", "RESULT_BASE=" + results, "HOST_OPTIONS=" + options,
		"TEST_DEV=" + filepath.Join(test, "node1", "data"), "TEST_DIR=" + filepath.Join(test, "mnt1"),
		"SCRATCH_DEV=" + filepath.Join(scratch, "node1", "data"), "SCRATCH_MNT=" + filepath.Join(scratch, "mnt1")}
	args := append([]string{"-E", excluded}, strings.Fields(*xfstestsCases)...)
	if *xfstestsCases == "" {
		args = append(args, "-g", *xfstestsGroup,
			"-x", "shutdown,clone,dedupe,fiemap,quota,log,encrypt,verity,casefold,scrub,swap,freeze,blockdev,dangerous,mount")
	}
	out, _, err := command(*xfstests, 3*time.Hour, env, "./check", args...)
	if err != nil {
		t.Logf("check ended with %v", err)
	}
	o := outcome{part: *xfstestsGroup, skipped: len(xfstestsExcluded)}
	for line := range strings.Lines(out) {
		switch key, rest, _ := strings.Cut(strings.TrimSpace(line), ": "); key {
		case "Ran":
			o.passed += len(strings.Fields(rest))
		case "Not run":
			o.skipped += len(strings.Fields(rest))
			o.passed -= len(strings.Fields(rest))
		case "Failures":
			o.failures = strings.Fields(rest)
			o.failed, o.passed = len(o.failures), o.passed-len(o.failures)
		}
	}
	if o.passed <= 0 && o.failed == 0 {
		t.Fatalf("nothing ran:\n%s", out)
	}
	if o.failed > 0 {
		t.Log(out) // with the differences
	}
	showTable(t, "xfstests", []outcome{o})
}
