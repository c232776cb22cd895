package namespace

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/ids"
)

// Type is what an inode is: the type bits of st_mode shifted down, which are also the d_type of readdir.
type Type uint8

// The types of inode.
const (
	Fifo      Type = 1
	CharDev   Type = 2
	Directory Type = 4
	BlockDev  Type = 6
	Regular   Type = 8
	Symlink   Type = 10
	Socket    Type = 12
)

// Bits of a mode, as in st_mode. They are numbers of the record format, so they are spelled out here.
const (
	ModeType   = 0o170000 // the type; Type(mode >> 12)
	ModePerm   = 0o007777 // what chmod may change
	ModeSetuid = 0o004000
	ModeSetgid = 0o002000
	ModeSticky = 0o001000

	modeGroupExec = 0o000010
	typeShift     = 12
)

// valid says whether t is one of the types above.
func (t Type) valid() bool {
	switch t {
	case Fifo, CharDev, Directory, BlockDev, Regular, Symlink, Socket:
		return true
	}
	return false
}

// Mode returns the type bits of st_mode.
func (t Type) Mode() uint32 { return uint32(t) << typeShift }

// Inode is what the namespace knows of one file, directory or other object. Times are nanoseconds
// since the unix epoch. The size, Atime and Mtime of a regular file are kept by objects: what is here
// are those it was made with, which hold until objects has others; its Ctime is the later one.
type Inode struct {
	Mode                       uint32
	UID, GID                   uint32
	Nlink                      uint32 // directories: 2 + subdirectories; 0 for an orphan
	Rdev                       uint32 // CharDev and BlockDev
	Atime, Mtime, Ctime, Btime int64
	XattrBytes                 uint32  // length of the list of extended attribute names, each with its NUL
	Linkable                   bool    // made by Tmpfile and not linked yet: Link may bring it into the tree
	Parent                     ids.Ino // Directory: the directory that holds it; the root's is itself
	Entries                    uint64  // Directory: the number of entries
	Target                     string  // Symlink
}

// Type returns what the inode is.
func (n *Inode) Type() Type { return Type(n.Mode & ModeType >> typeShift) }

// IsDir says whether the inode is a directory.
func (n *Inode) IsDir() bool { return n.Type() == Directory }

const inodeFormat = 1

const flagLinkable = 1

// Encode returns the inode's record; the table in the package comment has its layout.
func (n *Inode) Encode() []byte {
	b := make([]byte, 0, 48+len(n.Target))
	b = append(b, inodeFormat)
	flags := byte(0)
	if n.Linkable {
		flags |= flagLinkable
	}
	b = append(b, flags)
	for _, v := range [...]uint32{n.Mode, n.UID, n.GID, n.Nlink, n.XattrBytes} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	b = binary.AppendVarint(b, n.Btime)
	for _, t := range [...]int64{n.Atime, n.Mtime, n.Ctime} {
		b = binary.AppendVarint(b, t-n.Btime)
	}
	switch n.Type() {
	case Directory:
		b = binary.AppendUvarint(b, uint64(n.Parent))
		b = binary.AppendUvarint(b, n.Entries)
	case CharDev, BlockDev:
		b = binary.AppendUvarint(b, uint64(n.Rdev))
	case Symlink:
		b = appendString(b, n.Target)
	}
	return b
}

// DecodeInode reads an inode's record. It fails with errs.Corrupt.
func DecodeInode(b []byte) (Inode, error) {
	d := decoder{rest: b}
	n := d.inode()
	if !d.done() {
		return Inode{}, errs.New(errs.Corrupt, "inode record %x cannot be read", b)
	}
	return n, nil
}

func (d *decoder) inode() Inode {
	var n Inode
	if d.byte() != inodeFormat {
		d.failed = true
		return n
	}
	flags := d.byte()
	d.failed = d.failed || flags&^flagLinkable != 0
	n.Linkable = flags&flagLinkable != 0
	n.Mode, n.UID, n.GID, n.Nlink, n.XattrBytes = d.uint32(), d.uint32(), d.uint32(), d.uint32(), d.uint32()
	n.Btime = d.varint()
	n.Atime, n.Mtime, n.Ctime = n.Btime+d.varint(), n.Btime+d.varint(), n.Btime+d.varint()
	switch t := n.Type(); t {
	case Directory:
		n.Parent, n.Entries = d.ino(), d.uvarint()
	case CharDev, BlockDev:
		n.Rdev = d.uint32()
	case Symlink:
		n.Target = d.string(MaxTarget)
	default:
		d.failed = d.failed || !t.valid()
	}
	d.failed = d.failed || n.Mode&^(ModeType|ModePerm) != 0
	return n
}

func encodeDirent(ino ids.Ino, t Type) []byte {
	return append(binary.AppendUvarint(make([]byte, 0, 10), uint64(ino)), byte(t))
}

// DecodeDirent reads the value of a directory entry: the inode that it names. It fails with
// errs.Corrupt.
func DecodeDirent(b []byte) (ids.Ino, Type, error) {
	d := decoder{rest: b}
	ino, t := d.ino(), Type(d.byte())
	if !d.done() || !t.valid() {
		return 0, 0, errs.New(errs.Corrupt, "directory entry %x cannot be read", b)
	}
	return ino, t, nil
}
