package namespace

import (
	"dfs/errs"
	"dfs/ids"
)

// Decode reads an encoded operation. It fails with errs.Invalid. Names longer than the limits decode:
// refusing them, with a better kind, is Apply's part.
func Decode(b []byte) (Op, error) {
	d := decoder{rest: b}
	op := d.op()
	if op == nil || !d.done() {
		return nil, errs.New(errs.Invalid, "namespace operation of %d bytes cannot be read", len(b))
	}
	return op, nil
}

// op takes a whole operation. Fields of composite literals are evaluated in the order written.
func (d *decoder) op() Op {
	switch c := code(d.byte()); c {
	case codeInit:
		return Init{UID: d.uint32(), GID: d.uint32()}
	case codeCreate:
		return Create{Parent: d.ino(), Name: d.name(), Mode: d.uint32(), Umask: d.uint32(), UID: d.uint32(),
			GID: d.uint32(), Rdev: d.uint32(), Target: d.name(), Exclusive: d.bool()}
	case codeTmpfile:
		return Tmpfile{Parent: d.ino(), Mode: d.uint32(), Umask: d.uint32(), UID: d.uint32(), GID: d.uint32(),
			Linkable: d.bool()}
	case codeLink:
		return Link{Ino: d.ino(), Parent: d.ino(), Name: d.name()}
	case codeUnlink:
		return Unlink{Parent: d.ino(), Name: d.name()}
	case codeRmdir:
		return Rmdir{Parent: d.ino(), Name: d.name()}
	case codeRename:
		return Rename{OldParent: d.ino(), OldName: d.name(), NewParent: d.ino(), NewName: d.name(),
			Flags: RenameFlags(d.uint32()), UID: d.uint32(), GID: d.uint32()}
	case codeSetAttr:
		return SetAttr{Ino: d.ino(), Valid: AttrMask(d.uint32()), Mode: d.uint32(), UID: d.uint32(), GID: d.uint32(),
			Atime: d.varint(), Mtime: d.varint(), Ctime: d.varint()}
	case codeSetXattr:
		return SetXattr{Ino: d.ino(), Name: d.name(), Value: d.bytes(len(d.rest)), Flags: XattrFlags(d.uint32())}
	case codeRemoveXattr:
		return RemoveXattr{Ino: d.ino(), Name: d.name()}
	case codeTouch:
		return Touch{Ino: d.ino()}
	case codeRelease:
		return Release{Node: ids.NodeID(d.uint32()), Members: d.nodes(), Inos: d.inos()}
	case codeReleaseAll:
		return ReleaseAll{Node: ids.NodeID(d.uint32()), Members: d.nodes(), After: d.ino()}
	case codeDropped:
		return Dropped{Inos: d.inos()}
	case codeClaim, codeRaiseClaim:
		return d.claimOp(c)
	default:
		return d.lockOp(c)
	}
}

func (d *decoder) name() string { return d.string(len(d.rest)) }
