package model

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The sizes that programs keep to.
const (
	Nodes   = 3
	Slots   = 3         // files that may be open at once
	MaxFile = 200 << 10 // bytes, about
)

// Step is one call. Which fields count depends on Op.
type Step struct {
	Node        int
	Op          string
	Path, Path2 string
	Slot        int
	Off, Len    int64
	Arg         int64 // permissions, flags of rename, what to fill with
}

// Program is a list of calls, made one after the other.
type Program []Step

// pathOps are the calls with paths, by how often they are drawn.
var pathOps = []string{
	"create", "create", "create", "create", "mkdir", "mkdir", "mkdir", "rmdir", "unlink", "unlink", "link", "symlink",
	"rename", "rename", "rename", "rename", "write", "write", "write", "append", "truncate", "punch", "zero", "allocate", "copy",
	"read", "read", "stat", "stat", "list", "list", "chmod", "setxattr", "setxattr", "getxattr", "removexattr", "listxattr", "readlink", "holes",
}

var slotOps = []string{"open", "open", "close", "swrite", "swrite", "sread", "sstat", "struncate"}

// Random draws a program.
func Random(seed uint64, steps int) Program {
	rng := rand.New(rand.NewPCG(seed, 8))
	p := make(Program, steps)
	for i := range p {
		p[i] = randomStep(rng)
	}
	return p
}

func randomPath(rng *rand.Rand) string {
	names := []string{"a", "b", "c"}
	path := names[rng.IntN(3)]
	for rng.IntN(5) < 2 && len(path) < 6 {
		path += "/" + names[rng.IntN(3)]
	}
	return path
}

func randomStep(rng *rand.Rand) Step {
	s := Step{Node: rng.IntN(Nodes), Slot: rng.IntN(Slots), Path: randomPath(rng), Path2: randomPath(rng)}
	if rng.IntN(5) == 0 {
		s.Op = slotOps[rng.IntN(len(slotOps))]
	} else {
		s.Op = pathOps[rng.IntN(len(pathOps))]
	}
	// Offsets and lengths are near the borders of pages and of each other.
	s.Off = int64([]int{0, 0, 1, 100, 4095, 4096, 8192, 10000, 65536, 131072}[rng.IntN(10)])
	s.Len = int64([]int{1, 5, 100, 4096, 4097, 9000, 65536}[rng.IntN(7)])
	switch s.Op {
	case "create", "mkdir", "chmod":
		s.Arg = int64([]int{0o644, 0o755, 0o4755, 0o1777, 0}[rng.IntN(5)])
	case "rename":
		s.Arg = int64([]int{0, 0, 0, 1, 2}[rng.IntN(5)])
	case "truncate", "struncate":
		s.Len = s.Off + int64(rng.IntN(2))
	default:
		s.Arg = 1 + rng.Int64N(250)
	}
	return s
}

// String is the program as text, one step a line.
func (p Program) String() string {
	var b strings.Builder
	for _, s := range p {
		fmt.Fprintf(&b, "%d %s %s %s %d %d %d %d\n", s.Node, s.Op, s.Path, s.Path2, s.Slot, s.Off, s.Len, s.Arg)
	}
	return b.String()
}

// Parse reads what String wrote.
func Parse(text string) (Program, error) {
	var p Program
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var s Step
		if _, err := fmt.Sscan(line, &s.Node, &s.Op, &s.Path, &s.Path2, &s.Slot, &s.Off, &s.Len, &s.Arg); err != nil {
			return nil, fmt.Errorf("step %q: %w", line, err)
		}
		if s.Slot < 0 || s.Slot >= Slots || s.Node < 0 || s.Node >= Nodes || s.Off < 0 || s.Len < 0 {
			return nil, fmt.Errorf("step %q makes no sense", line)
		}
		p = append(p, s)
	}
	return p, nil
}

// Minimize leaves out steps of a program that fails as long as it still fails (PM3). It tries runs of steps
// first, then single ones.
func Minimize(p Program, fails func(Program) bool) Program {
	for size := len(p) / 2; size > 0; {
		shorter := false
		for at := 0; at < len(p); {
			end := min(at+size, len(p))
			if rest := append(append(Program(nil), p[:at]...), p[end:]...); fails(rest) {
				p, shorter = rest, true
			} else {
				at = end
			}
		}
		if size > 1 {
			size /= 2
		} else if !shorter {
			break
		}
	}
	return p
}

// fill is what a step writes.
func fill(s Step) []byte {
	b := make([]byte, s.Len)
	for i := range b {
		b[i] = byte(int64(i)*7 + s.Arg)
	}
	return b
}

// Data is what a step writes.
func (s Step) Data() []byte { return fill(s) }
