package posix

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var ltp = flag.String("ltp", "", "directory where LTP is installed")

// fsCalls are the system calls of filesystems, as the cases of LTP are named after them.
var fsCalls = regexp.MustCompile(`^(access|chdir|chmod|chown|chroot|copy_file_range|creat|dup|execve|fallocate|fchdir|fchmod|fchmodat|` +
	`fchown|fchownat|fcntl|fdatasync|fgetxattr|flistxattr|flock|fremovexattr|fsetxattr|fstat|fstatfs|fstatat|fsync|ftruncate|getcwd|getdents|` +
	`getxattr|lchown|lgetxattr|link|linkat|listxattr|llistxattr|llseek|lremovexattr|lseek|lstat|mkdir|mkdirat|mknod|mknodat|mmap|` +
	`msync|name_to_handle_at|open|openat|open_by_handle_at|posix_fadvise|pread|preadv|pwrite|pwritev|read|readdir|readahead|readlink|readlinkat|readv|removexattr|rename|` +
	`renameat|rmdir|sendfile|setxattr|stat|statfs|statvfs|statx|symlink|symlinkat|sync_file_range|truncate|umask|unlink|unlinkat|` +
	`utime|utimes|utimensat|write|writev)[0-9]+[A-Z]?(_64)?$`)

// ltpExcluded are the cases that fail for a reason that exclusions.txt gives.
var ltpExcluded = map[string]string{
	"setxattr03": "ioctl FS_IOC_SETFLAGS, chattr",
}

// LTP's cases of system calls of filesystems. Those that make filesystems of their own make one in memory: it is not what
// is tested.
func TestLTP(t *testing.T) {
	if *ltp == "" {
		t.Skip("make posix LTP=dir runs it")
	}
	w := newWorld(t, false)
	dir := filepath.Join(cluster.mount(0), w.dir)
	list, err := os.ReadFile(filepath.Join(*ltp, "runtest", "syscalls"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []string
	for line := range strings.Lines(string(list)) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), " "); ok && fsCalls.MatchString(name) {
			cases = append(cases, strings.TrimSpace(line))
		}
	}
	env := []string{"TMPDIR=" + dir, "LTPROOT=" + *ltp, "PATH=" + filepath.Join(*ltp, "testcases", "bin") + ":" + os.Getenv("PATH"),
		"LTP_SINGLE_FS_TYPE=tmpfs", "LTP_TIMEOUT_MUL=5"}
	showTable(t, "LTP", inParallel(cases, func(line string) outcome {
		name, program, _ := strings.Cut(line, " ")
		o := outcome{part: strings.TrimRight(strings.TrimSuffix(name, "_64"), "0123456789ABCDEF")}
		switch out, code, err := command(dir, 10*time.Minute, env, "sh", "-c", program); {
		case code == 0:
			o.passed++
		case code == 32 || ltpExcluded[name] != "":
			o.skipped++
		default:
			o.failed++
			o.failures = append(o.failures, fmt.Sprintf("%s: %v: %s", name, err, verdict(out)))
		}
		return o
	}))
}

// verdict returns the line of a case's output that says best what failed.
func verdict(out string) string {
	lines := bytes.Split(bytes.TrimSpace([]byte(out)), []byte("\n"))
	for _, word := range []string{"TFAIL", "TBROK"} {
		for _, line := range lines {
			if bytes.Contains(line, []byte(word)) {
				return string(line)
			}
		}
	}
	return string(lines[len(lines)-1])
}
