package namespace

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"dfs/errs"
	"dfs/ids"
)

// The scripts in testdata tell what each operation does, with every error. A line is an operation or
// a query, a path or #INO, and options; the answer stands below. After each line T2, T3 and T6 are
// checked, and after a failure that nothing changed (T5).
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

// line carries out one line of a script and returns the answer.
func (h *harness) line(words []string) string {
	verb, args := words[0], parseArgs(words[1:])
	if out, ok := h.query(verb, args); ok {
		return out
	}
	before := Digest(h.r())
	op := h.op(verb, args)
	kind, body := h.do(op)
	h.check()
	if kind != errs.OK {
		if body != nil {
			h.t.Errorf("T5: %v returned %x and %v", words, body, kind)
		}
		if Digest(h.r()) != before {
			h.t.Errorf("T5: %v failed with %v but changed the state", words, kind)
		}
		return kind.Error()
	}
	return fmt.Sprintf("%d %s", h.now, result(op, body))
}

// args are the words of a line after the verb: those with = are options, those with + flags.
type args struct {
	words   []string
	options map[string]string
}

func parseArgs(words []string) args {
	a := args{options: map[string]string{}}
	for _, w := range words {
		if flag, ok := strings.CutPrefix(w, "+"); ok {
			a.options[flag] = "1"
		} else if k, v, ok := strings.Cut(w, "="); ok {
			a.options[k] = v
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

func (a args) num(name string, base int) uint32 {
	v, err := strconv.ParseUint(a.options[name], base, 32)
	if err != nil && a.options[name] != "" {
		panic(err)
	}
	return uint32(v)
}

func (a args) time(name string) int64 {
	v, _ := strconv.ParseInt(a.options[name], 10, 64)
	return v
}

func (a args) has(name string) bool { return a.options[name] != "" }

func (a args) members() (list []ids.NodeID) {
	for _, w := range strings.Split(a.options["members"], ",") {
		if v, err := strconv.Atoi(w); err == nil {
			list = append(list, ids.NodeID(v))
		}
	}
	return list
}

// text spells WORD*N out as N times WORD, and <empty> as nothing.
func text(w string) string {
	if w == "<empty>" {
		return ""
	}
	if word, n, ok := strings.Cut(w, "*"); ok {
		count, _ := strconv.Atoi(n)
		return strings.Repeat(word, count)
	}
	return strings.ReplaceAll(w, `\0`, "\x00")
}

// ino finds the inode of a path or of #INO.
func (h *harness) ino(path string) ids.Ino {
	if num, ok := strings.CutPrefix(path, "#"); ok {
		v, _ := strconv.Atoi(num)
		return ids.Ino(v)
	}
	at := ids.RootIno
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		next, _, err := Lookup(h.r(), at, name)
		if err != nil {
			return 0
		}
		at = next
	}
	return at
}

// place splits a path into the directory and the name.
func (h *harness) place(path string) (ids.Ino, string) {
	i := strings.LastIndexByte(path, '/')
	return h.ino(path[:i]), text(path[i+1:])
}

// op makes the operation of a line.
func (h *harness) op(verb string, a args) Op {
	arg := func(i int) string { return a.words[i] }
	uid, gid := a.num("uid", 10), a.num("gid", 10)
	switch verb {
	case "init":
		return Init{UID: uid, GID: gid}
	case "create":
		dir, name := h.place(arg(0))
		return Create{Parent: dir, Name: name, Mode: a.num("mode", 8), Umask: a.num("umask", 8), UID: uid, GID: gid,
			Rdev: a.num("rdev", 10), Target: text(a.options["target"]), Exclusive: a.has("excl")}
	case "tmpfile":
		return Tmpfile{Parent: h.ino(arg(0)), Mode: a.num("mode", 8), Umask: a.num("umask", 8), UID: uid, GID: gid,
			Linkable: a.has("linkable")}
	case "link":
		dir, name := h.place(arg(1))
		return Link{Ino: h.ino(arg(0)), Parent: dir, Name: name}
	case "unlink":
		dir, name := h.place(arg(0))
		return Unlink{dir, name}
	case "rmdir":
		dir, name := h.place(arg(0))
		return Rmdir{dir, name}
	case "rename":
		dir, name := h.place(arg(0))
		dir2, name2 := h.place(arg(1))
		return Rename{OldParent: dir, OldName: name, NewParent: dir2, NewName: name2, Flags: renameFlags(a), UID: uid, GID: gid}
	case "setattr":
		return h.setAttr(a)
	case "setxattr":
		return SetXattr{Ino: h.ino(arg(0)), Name: text(arg(1)), Value: xattrValue(arg(2)), Flags: XattrFlags(a.num("flags", 10))}
	case "removexattr":
		return RemoveXattr{h.ino(arg(0)), text(arg(1))}
	case "touch":
		return Touch{h.ino(arg(0))}
	case "release":
		return Release{Node: ids.NodeID(a.num("node", 10)), Members: a.members(), Inos: h.inos(a)}
	case "releaseall":
		return ReleaseAll{Node: ids.NodeID(a.num("node", 10)), Members: a.members(), After: ids.Ino(a.num("after", 10))}
	case "dropped":
		return Dropped{h.inos(a)}
	}
	h.t.Fatalf("no such verb: %s", verb)
	return nil
}

func (h *harness) inos(a args) (list []ids.Ino) {
	for _, w := range a.words {
		list = append(list, h.ino(w))
	}
	return list
}

func renameFlags(a args) (flags RenameFlags) {
	for name, f := range map[string]RenameFlags{"noreplace": RenameNoReplace, "exchange": RenameExchange, "whiteout": RenameWhiteout, "unknown": 8} {
		if a.has(name) {
			flags |= f
		}
	}
	return flags
}

func (h *harness) setAttr(a args) SetAttr {
	op := SetAttr{Ino: h.ino(a.words[0]), Mode: a.num("mode", 8), UID: a.num("uid", 10), GID: a.num("gid", 10),
		Atime: a.time("atime"), Mtime: a.time("mtime"), Ctime: a.time("ctime")}
	for name, bit := range map[string]AttrMask{
		"mode": AttrMode, "uid": AttrUID, "gid": AttrGID, "atime": AttrAtime, "mtime": AttrMtime, "ctime": AttrCtime,
		"atimenow": AttrAtimeNow, "mtimenow": AttrMtimeNow, "killpriv": AttrKillPriv, "unknown": 1 << 20,
	} {
		if a.has(name) {
			op.Valid |= bit
		}
	}
	return op
}

// xattrValue reads a value; acl:u6,u:5:4,g4,m6,o0 is a list in the kernel's format.
func xattrValue(w string) []byte {
	list, ok := strings.CutPrefix(w, "acl:")
	if !ok {
		return []byte(text(w))
	}
	tags := map[byte]uint16{'u': tagUserObj, 'g': tagGroupObj, 'm': tagMask, 'o': tagOther}
	named := map[byte]uint16{'u': tagUser, 'g': tagGroup}
	var a acl
	for _, e := range strings.Split(list, ",") {
		if e == "" {
			continue
		}
		entry := aclEntry{tag: tags[e[0]], perm: uint16(e[len(e)-1] - '0'), id: 1<<32 - 1}
		if part := strings.Split(e, ":"); len(part) == 3 {
			id, _ := strconv.Atoi(part[1])
			entry.tag, entry.id = named[e[0]], uint32(id)
		}
		a = append(a, entry)
	}
	return a.encode()
}

// result prints what an operation returned, and so tests the decoders.
func result(op Op, body []byte) string {
	var res any
	var err error
	switch op.(type) {
	case Init, Link, SetAttr, SetXattr, RemoveXattr:
		r, e := DecodeInodeResult(body)
		return fmt.Sprintf("inode %d %s", r.Ino, orError(describe(&r.Inode), e))
	case Create, Tmpfile:
		r, e := DecodeCreateResult(body)
		return fmt.Sprintf("inode %d existed=%v %s", r.Ino, r.Existed, orError(describe(&r.Inode), e))
	case Unlink, Rmdir:
		res, err = DecodeUnlinkResult(body)
	case Rename:
		res, err = DecodeRenameResult(body)
	case Release, ReleaseAll:
		res, err = DecodeReleaseResult(body)
	default:
		return fmt.Sprintf("%x", body)
	}
	return orError(strings.TrimPrefix(fmt.Sprintf("%+v", res), "namespace."), err)
}

func orError(s string, err error) string {
	if err != nil {
		return err.Error()
	}
	return s
}

// query answers the lines that ask.
func (h *harness) query(verb string, a args) (string, bool) {
	r := h.r()
	switch verb {
	case "dump":
		return "\n" + strings.TrimSuffix(dump(r), "\n"), true
	case "stat":
		n, err := Stat(r, h.ino(a.words[0]))
		return orError(describe(&n), err), true
	case "lookup":
		ino, typ, err := Lookup(r, h.ino(a.words[0]), text(a.words[1]))
		return orError(fmt.Sprintf("inode %d type %d", ino, typ), err), true
	case "parent":
		ino, err := Parent(r, h.ino(a.words[0]))
		return orError(fmt.Sprint("inode ", ino), err), true
	case "readlink":
		s, err := Readlink(r, h.ino(a.words[0]))
		return orError(s, err), true
	case "list":
		var names []string
		limit, _ := strconv.Atoi(a.options["limit"])
		List(r, h.ino(a.words[0]), a.options["after"], func(name string, _ ids.Ino, _ Type) bool {
			names = append(names, name)
			return len(names) != limit
		})
		return fmt.Sprintf("%q", names), true
	case "getxattr":
		v, err := GetXattr(r, h.ino(a.words[0]), text(a.words[1]))
		return orError(fmt.Sprintf("%q", v), err), true
	case "getacl":
		v, err := GetXattr(r, h.ino(a.words[0]), "system.posix_acl_"+a.words[1])
		list, _ := parseACL(v)
		return orError(list.String(), err), true
	case "listxattr":
		names, err := ListXattr(r, h.ino(a.words[0]))
		return orError(short(fmt.Sprintf("%q", names)), err), true
	}
	return "", false
}

// String prints a list in the form that xattrValue reads.
func (a acl) String() string {
	names := map[uint16]string{tagUserObj: "u", tagUser: "u", tagGroupObj: "g", tagGroup: "g", tagMask: "m", tagOther: "o"}
	var out []string
	for _, e := range a {
		if e.tag == tagUser || e.tag == tagGroup {
			out = append(out, fmt.Sprintf("%s:%d:%d", names[e.tag], e.id, e.perm))
		} else {
			out = append(out, fmt.Sprintf("%s%d", names[e.tag], e.perm))
		}
	}
	return strings.Join(out, ",")
}
