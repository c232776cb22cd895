package mountpoint

import (
	"os"
	"strings"
)

// Type is the filesystem type that the kernel shows for a mount of dfs.
const Type = "fuse.dfs"

// Mount is one line of the kernel's list of mounts.
type Mount struct {
	Path   string // where
	Type   string // filesystem type, for example "ext4" or Type
	Source string // what: for dfs the data directory of the node that serves it
}

// List returns the mounts that this process sees, in mount order: of two on the same path the later one hides
// the earlier.
func List() ([]Mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parse(string(text)), nil
}

// parse reads the format of proc_pid_mountinfo(5): fields by spaces, a variable number of optional ones ended
// by a dash, then type and source; bytes that would be taken for separators are octal escapes.
func parse(text string) []Mount {
	var all []Mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		front, back := strings.Fields(before), strings.Fields(after)
		if !ok || len(front) < 5 || len(back) < 2 {
			continue
		}
		all = append(all, Mount{Path: unescape(front[4]), Type: back[0], Source: unescape(back[1])})
	}
	return all
}

// unescape turns \040 and the like back into bytes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(s string) bool {
	return s[0] <= '3' && strings.Trim(s, "01234567") == ""
}

// At returns the topmost mount on exactly this path, if there is one.
func At(path string) (Mount, bool) {
	all, err := List()
	if err != nil {
		return Mount{}, false
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Path == path {
			return all[i], true
		}
	}
	return Mount{}, false
}
