package objects

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"dfs/errs"
	"dfs/ids"
)

// The scripts in testdata tell what each operation does, with every error. A line is an operation with
// the inode number and then the numbers of its fields, in order; data is written as text, TEXT*N. After
// each line O2, O3 and O6 are checked, and after a failure that nothing changed (O5).
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		h := newHarness(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			h.t = t
			var out strings.Builder
			for _, line := range strings.Split(d.Input, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					fmt.Fprintf(&out, "%s: %s\n", line, h.line(strings.Fields(line)))
				}
			}
			return out.String()
		})
	})
}

// fields are the words of a line after the verb.
type fields []string

func (f fields) num(i int) int64 {
	v, err := strconv.ParseInt(f[i], 10, 64)
	if err != nil && f[i] == "max" {
		return MaxSize
	} else if err != nil {
		panic(err)
	}
	return v
}

func (f fields) ino(i int) ids.Ino { return ids.Ino(f.num(i)) }

func (f fields) has(word string) bool {
	for _, w := range f {
		if w == word {
			return true
		}
	}
	return false
}

// time reads omit, now or a number.
func (f fields) time(i int) Time {
	switch f[i] {
	case "omit":
		return Time{}
	case "now":
		return Time{Kind: TimeNow}
	}
	return Time{TimeAt, f.num(i)}
}

func text(w string) string {
	if word, n, ok := strings.Cut(w, "*"); ok {
		count, _ := strconv.Atoi(n)
		return strings.Repeat(word, count)
	}
	return w
}

// line carries out one line of a script and returns the answer.
func (h *harness) line(words []string) string {
	if out, ok := h.query(words[0], words[1:]); ok {
		return out
	}
	op, data := h.op(words[0], words[1:])
	before := Digest(h.r())
	kind, body := h.do(op, []byte(data))
	h.check()
	if kind != errs.OK {
		if Digest(h.r()) != before || body != nil {
			h.t.Errorf("O5: %v failed with %v but changed the state or returned %x", words, kind, body)
		}
		return kind.Error()
	}
	switch op.(type) {
	case Append:
		at, err := DecodeOffset(body)
		return fmt.Sprint(int64(h.now), " at ", at, orErr(err))
	case Clone:
		n, err := DecodeLength(body)
		return fmt.Sprint(int64(h.now), " copied ", n, orErr(err))
	case Purge:
		more, err := DecodeMore(body)
		return fmt.Sprint(int64(h.now), " more ", more, orErr(err))
	}
	return fmt.Sprint(int64(h.now))
}

func orErr(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// op makes the operation of a line, with its data.
func (h *harness) op(verb string, f fields) (Op, string) {
	keep := f.has("keepsize")
	switch verb {
	case "write":
		return Write{f.ino(0), f.num(1)}, text(strings.Join(f[2:], " "))
	case "append":
		return Append{f.ino(0)}, text(strings.Join(f[1:], " "))
	case "truncate":
		return Truncate{f.ino(0), f.num(1)}, ""
	case "settimes":
		return SetTimes{f.ino(0), f.time(1), f.time(2), f.has("keepctime")}, ""
	case "drop":
		var inos []ids.Ino
		for i := range f {
			inos = append(inos, f.ino(i))
		}
		return Drop{inos}, ""
	case "punch":
		return PunchHole{f.ino(0), f.num(1), f.num(2)}, ""
	case "zero":
		return ZeroRange{f.ino(0), f.num(1), f.num(2), keep}, ""
	case "allocate":
		return Allocate{f.ino(0), f.num(1), f.num(2), keep}, ""
	case "clone":
		return Clone{f.ino(0), f.num(1), f.ino(2), f.num(3), f.num(4)}, ""
	case "purge":
		return Purge{}, ""
	}
	h.t.Fatalf("no such verb: %s", verb)
	return nil, ""
}

// query answers the lines that ask.
func (h *harness) query(verb string, f fields) (string, bool) {
	r := h.r()
	switch verb {
	case "stat":
		a, ok := Stat(r, f.ino(0))
		if !ok {
			return "no record", true
		}
		return describe(a), true
	case "map": // with the bytes, and a dot for each byte of a hole
		off, length := int64(0), int64(MaxSize)
		if len(f) > 1 {
			off, length = f.num(1), f.num(2)
		}
		var out []string
		n := Map(r, f.ino(0), off, length, func(p Piece) bool {
			if p.Hole {
				out = append(out, fmt.Sprintf("%d:hole(%d)", p.FileOff, p.Len))
			} else {
				out = append(out, fmt.Sprintf("%d:%s", p.FileOff, shorten(string(h.log[p.LSN][p.Off:p.Off+p.Len]))))
			}
			return true
		})
		return fmt.Sprintf("%s (%d)", strings.Join(out, " "), n), true
	case "data":
		at, ok := SeekData(r, f.ino(0), f.num(1))
		return fmt.Sprint(at, " ", ok), true
	case "hole":
		at, ok := SeekHole(r, f.ino(0), f.num(1))
		return fmt.Sprint(at, " ", ok), true
	case "usage":
		return fmt.Sprint(Usage(r), " garbage ", Garbage(r)), true
	case "many": // many INO N: N writes of one byte at every second offset
		for i := range f.num(1) {
			h.must(Write{f.ino(0), 2 * i}, []byte{'m'})
		}
		h.check()
		return fmt.Sprint(int64(h.now)), true
	}
	return "", false
}

// shorten prints a long run of one byte as BYTE*N.
func shorten(s string) string {
	if len(s) > 16 && strings.Count(s, s[:1]) == len(s) {
		return fmt.Sprintf("%c*%d", s[0], len(s))
	}
	return s
}
