package namespace

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/ids"
)

// Limits of what an operation may carry.
const (
	MaxName      = 255      // bytes in a name
	MaxTarget    = 4095     // bytes in the target of a symbolic link
	MaxLinks     = 65000    // names of one inode that is not a directory
	MaxXattrName = 255      // bytes in the name of an extended attribute
	MaxXattr     = 64 << 10 // bytes in the value of one, and in the list of the names of all of them
	MaxBatch     = 4096     // inodes in one Release, ReleaseAll or Dropped
	MaxMembers   = 4096     // nodes in the member list of a Release
)

// code is the first byte of an encoded operation. The numbers are in logs: only append.
type code byte

const (
	codeInit        code = 1
	codeCreate      code = 2
	codeTmpfile     code = 3
	codeLink        code = 4
	codeUnlink      code = 5
	codeRmdir       code = 6
	codeRename      code = 7
	codeSetAttr     code = 8
	codeSetXattr    code = 9
	codeRemoveXattr code = 10
	codeTouch       code = 11
	codeRelease     code = 12
	codeReleaseAll  code = 13
	codeDropped     code = 14
	codeSetLock     code = 15
	codeUnlock      code = 16
	codeTestLock    code = 17
	codeCancelLock  code = 18
	codeReleaseNode code = 19
	codeClaim       code = 20
	codeRaiseClaim  code = 21
)

// Op is one operation on the namespace. Encode gives the bytes that Apply and Decode take.
type Op interface {
	Encode() []byte
	apply(c *change) (errs.Kind, []byte)
}

// Init makes the root directory of a new filesystem, with mode 0755. Where there is one it does
// nothing. Result: InodeResult of the root.
type Init struct{ UID, GID uint32 }

// Create makes an object of any type and names it. Result: CreateResult.
type Create struct {
	Parent ids.Ino
	Name   string
	// Mode has the type and the permissions as the caller asked for them. Umask is taken off them
	// unless the parent has a default ACL; it is 0 where the kernel took it off already.
	Mode, Umask uint32
	UID, GID    uint32 // of the caller; a setgid parent gives its own group instead
	Rdev        uint32 // CharDev and BlockDev
	Target      string // Symlink
	// Exclusive makes an existing name an error. Without it an existing regular file is what a
	// Create of a regular file returns, unchanged.
	Exclusive bool
}

// Tmpfile makes a regular file without a name: an orphan from the start. Result: CreateResult.
type Tmpfile struct {
	Parent      ids.Ino // whose group and default ACL are inherited
	Mode, Umask uint32  // permissions, as in Create
	UID, GID    uint32
	Linkable    bool // Link may give it a name later (O_TMPFILE without O_EXCL)
}

// Link gives an inode that is not a directory one more name. Result: InodeResult.
type Link struct {
	Ino    ids.Ino
	Parent ids.Ino
	Name   string
}

// Unlink removes a name of what is not a directory. Result: UnlinkResult.
type Unlink struct {
	Parent ids.Ino
	Name   string
}

// Rmdir removes an empty directory. Result: UnlinkResult.
type Rmdir struct {
	Parent ids.Ino
	Name   string
}

// RenameFlags are those of renameat2, with its numbers.
type RenameFlags uint32

// The flags of a Rename.
const (
	RenameNoReplace RenameFlags = 1 // the new name must be free
	RenameExchange  RenameFlags = 2 // both names must exist; they change places
	RenameWhiteout  RenameFlags = 4 // leave a whiteout (a character device 0:0) at the old name
)

// Rename moves a name, replacing what the new name meant. Result: RenameResult.
type Rename struct {
	OldParent ids.Ino
	OldName   string
	NewParent ids.Ino
	NewName   string
	Flags     RenameFlags
	UID, GID  uint32 // owner of the whiteout
}

// AttrMask says which fields of a SetAttr count.
type AttrMask uint32

// The fields of a SetAttr.
const (
	AttrMode     AttrMask = 1 << iota // permission bits; the type bits of Mode are ignored
	AttrUID                           // owner
	AttrGID                           // group
	AttrAtime                         // as given; not for regular files
	AttrAtimeNow                      // the operation's timestamp; not for regular files
	AttrMtime                         // as given; not for regular files
	AttrMtimeNow                      // the operation's timestamp; not for regular files
	AttrCtime                         // as given, instead of the operation's timestamp
	AttrKillPriv                      // clear setuid, setgid and capabilities as a write by a stranger does
	attrAll      AttrMask = 1<<iota - 1

	attrTimes = AttrAtime | AttrAtimeNow | AttrMtime | AttrMtimeNow
)

// SetAttr changes attributes. A change of owner or group of what is not a directory clears setuid,
// setgid (where the group may execute) and capabilities, unless Mode is given too. With an empty
// mask it changes nothing. Result: InodeResult.
type SetAttr struct {
	Ino                 ids.Ino
	Valid               AttrMask
	Mode, UID, GID      uint32
	Atime, Mtime, Ctime int64 // nanoseconds since the unix epoch
}

// XattrFlags are those of setxattr, with its numbers, and one of FUSE.
type XattrFlags uint32

// The flags of a SetXattr.
const (
	XattrCreate  XattrFlags = 1 // the attribute must not exist
	XattrReplace XattrFlags = 2 // the attribute must exist
	// XattrKillSetgid clears setgid when an access ACL is set (FUSE_SETXATTR_ACL_KILL_SGID).
	XattrKillSetgid XattrFlags = 4
	xattrAll        XattrFlags = 7
)

// SetXattr sets an extended attribute. An access ACL also sets the permission bits, and is not kept
// when they say all of it. Result: InodeResult.
type SetXattr struct {
	Ino   ids.Ino
	Name  string
	Value []byte
	Flags XattrFlags
}

// RemoveXattr removes an extended attribute. Result: InodeResult.
type RemoveXattr struct {
	Ino  ids.Ino
	Name string
}

// Touch moves the atime of what is not a regular file to the operation's timestamp and leaves the
// ctime alone. Result: none.
type Touch struct{ Ino ids.Ino }

// Release says that Node neither has the listed orphans open nor will open them again. Those that all
// Members have released are gone with this operation. What is not an orphan is passed over.
// Result: ReleaseResult.
type Release struct {
	Node    ids.NodeID
	Members []ids.NodeID // who must release; Node need not be one of them
	Inos    []ids.Ino
}

// ReleaseAll is a Release by Node, which started anew, of the orphans above After, in order, at most
// MaxBatch of them. Result: ReleaseResult, whose Next is the After of the next one.
type ReleaseAll struct {
	Node    ids.NodeID
	Members []ids.NodeID
	After   ids.Ino
}

// Dropped says that the contents of the listed files, which were gone, are dropped: nothing is left
// of them. Result: none.
type Dropped struct{ Inos []ids.Ino }

// Encode returns the operation's bytes.
func (o Init) Encode() []byte {
	return appendUvarints([]byte{byte(codeInit)}, uint64(o.UID), uint64(o.GID))
}

// Encode returns the operation's bytes.
func (o Create) Encode() []byte {
	b := append(make([]byte, 0, 48+len(o.Name)+len(o.Target)), byte(codeCreate))
	b = appendString(binary.AppendUvarint(b, uint64(o.Parent)), o.Name)
	b = appendUvarints(b, uint64(o.Mode), uint64(o.Umask), uint64(o.UID), uint64(o.GID), uint64(o.Rdev))
	return appendBool(appendString(b, o.Target), o.Exclusive)
}

// Encode returns the operation's bytes.
func (o Tmpfile) Encode() []byte {
	b := appendUvarints([]byte{byte(codeTmpfile)}, uint64(o.Parent),
		uint64(o.Mode), uint64(o.Umask), uint64(o.UID), uint64(o.GID))
	return appendBool(b, o.Linkable)
}

// Encode returns the operation's bytes.
func (o Link) Encode() []byte {
	return appendString(appendUvarints([]byte{byte(codeLink)}, uint64(o.Ino), uint64(o.Parent)), o.Name)
}

// Encode returns the operation's bytes.
func (o Unlink) Encode() []byte {
	return appendString(appendUvarints([]byte{byte(codeUnlink)}, uint64(o.Parent)), o.Name)
}

// Encode returns the operation's bytes.
func (o Rmdir) Encode() []byte {
	return appendString(appendUvarints([]byte{byte(codeRmdir)}, uint64(o.Parent)), o.Name)
}

// Encode returns the operation's bytes.
func (o Rename) Encode() []byte {
	b := appendString(appendUvarints([]byte{byte(codeRename)}, uint64(o.OldParent)), o.OldName)
	b = appendString(appendUvarints(b, uint64(o.NewParent)), o.NewName)
	return appendUvarints(b, uint64(o.Flags), uint64(o.UID), uint64(o.GID))
}

// Encode returns the operation's bytes.
func (o SetAttr) Encode() []byte {
	b := appendUvarints([]byte{byte(codeSetAttr)}, uint64(o.Ino), uint64(o.Valid),
		uint64(o.Mode), uint64(o.UID), uint64(o.GID))
	for _, t := range [...]int64{o.Atime, o.Mtime, o.Ctime} {
		b = binary.AppendVarint(b, t)
	}
	return b
}

// Encode returns the operation's bytes.
func (o SetXattr) Encode() []byte {
	b := append(make([]byte, 0, 32+len(o.Name)+len(o.Value)), byte(codeSetXattr))
	b = appendString(appendUvarints(b, uint64(o.Ino)), o.Name)
	b = append(binary.AppendUvarint(b, uint64(len(o.Value))), o.Value...)
	return appendUvarints(b, uint64(o.Flags))
}

// Encode returns the operation's bytes.
func (o RemoveXattr) Encode() []byte {
	return appendString(appendUvarints([]byte{byte(codeRemoveXattr)}, uint64(o.Ino)), o.Name)
}

// Encode returns the operation's bytes.
func (o Touch) Encode() []byte { return appendUvarints([]byte{byte(codeTouch)}, uint64(o.Ino)) }

// Encode returns the operation's bytes.
func (o Release) Encode() []byte {
	b := appendUvarints([]byte{byte(codeRelease)}, uint64(o.Node))
	return appendInos(appendNodes(b, o.Members), o.Inos)
}

// Encode returns the operation's bytes.
func (o ReleaseAll) Encode() []byte {
	b := appendUvarints([]byte{byte(codeReleaseAll)}, uint64(o.Node))
	return appendUvarints(appendNodes(b, o.Members), uint64(o.After))
}

// Encode returns the operation's bytes.
func (o Dropped) Encode() []byte { return appendInos([]byte{byte(codeDropped)}, o.Inos) }
