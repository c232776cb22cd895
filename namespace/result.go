package namespace

import (
	"encoding/binary"

	"dfs/errs"
	"dfs/ids"
)

// InodeResult is what Init, Link, SetAttr, SetXattr and RemoveXattr return: the inode as they left it.
type InodeResult struct {
	Ino   ids.Ino
	Inode Inode
}

// CreateResult is what Create and Tmpfile return.
type CreateResult struct {
	Ino     ids.Ino
	Inode   Inode
	Existed bool // the regular file was there already
}

// UnlinkResult is what Unlink and Rmdir return.
type UnlinkResult struct {
	Ino    ids.Ino // what the name meant
	Type   Type
	Orphan bool // that was its last link
}

// RenameResult is what Rename returns.
type RenameResult struct {
	Ino      ids.Ino // what was moved
	Replaced ids.Ino // what the new name meant before, 0 for nothing
	Orphan   bool    // Replaced lost its last link
	Type     Type    // of Replaced
}

// Gone is an inode that exists no more. The contents of a Regular one are the caller's to drop; then
// Dropped is due.
type Gone struct {
	Ino  ids.Ino
	Type Type
}

// ReleaseResult is what Release and ReleaseAll return.
type ReleaseResult struct {
	Gone []Gone
	Next ids.Ino // ReleaseAll: where to go on, 0 if that was all
}

func (r InodeResult) encode() []byte {
	return append(binary.AppendUvarint(nil, uint64(r.Ino)), r.Inode.Encode()...)
}

func (r CreateResult) encode() []byte {
	b := appendBool(make([]byte, 0, 64), r.Existed)
	return append(binary.AppendUvarint(b, uint64(r.Ino)), r.Inode.Encode()...)
}

func (r UnlinkResult) encode() []byte {
	return appendBool(append(binary.AppendUvarint(nil, uint64(r.Ino)), byte(r.Type)), r.Orphan)
}

func (r RenameResult) encode() []byte {
	return appendBool(append(appendUvarints(nil, uint64(r.Ino), uint64(r.Replaced)), byte(r.Type)), r.Orphan)
}

func (r ReleaseResult) encode() []byte {
	b := appendUvarints(nil, uint64(r.Next), uint64(len(r.Gone)))
	for _, g := range r.Gone {
		b = append(binary.AppendUvarint(b, uint64(g.Ino)), byte(g.Type))
	}
	return b
}

// DecodeInodeResult reads the result of Init, Link, SetAttr, SetXattr and RemoveXattr. It fails with
// errs.Corrupt, as do the other decoders of results.
func DecodeInodeResult(b []byte) (InodeResult, error) {
	d := decoder{rest: b}
	r := InodeResult{Ino: d.ino(), Inode: d.inode()}
	return r, d.resultErr("inode", b)
}

// DecodeCreateResult reads the result of Create and Tmpfile.
func DecodeCreateResult(b []byte) (CreateResult, error) {
	d := decoder{rest: b}
	existed := d.bool()
	r := CreateResult{Ino: d.ino(), Inode: d.inode(), Existed: existed}
	return r, d.resultErr("create", b)
}

// DecodeUnlinkResult reads the result of Unlink and Rmdir.
func DecodeUnlinkResult(b []byte) (UnlinkResult, error) {
	d := decoder{rest: b}
	r := UnlinkResult{Ino: d.ino(), Type: Type(d.byte()), Orphan: d.bool()}
	return r, d.resultErr("unlink", b)
}

// DecodeRenameResult reads the result of Rename.
func DecodeRenameResult(b []byte) (RenameResult, error) {
	d := decoder{rest: b}
	r := RenameResult{Ino: d.ino(), Replaced: d.ino(), Type: Type(d.byte()), Orphan: d.bool()}
	return r, d.resultErr("rename", b)
}

// DecodeReleaseResult reads the result of Release and ReleaseAll.
func DecodeReleaseResult(b []byte) (ReleaseResult, error) {
	d := decoder{rest: b}
	r := ReleaseResult{Next: d.ino()}
	if n := d.count(MaxBatch); n > 0 {
		r.Gone = make([]Gone, n)
	}
	for i := range r.Gone {
		r.Gone[i] = Gone{Ino: d.ino(), Type: Type(d.byte())}
	}
	return r, d.resultErr("release", b)
}

func (d *decoder) resultErr(what string, b []byte) error {
	if d.done() {
		return nil
	}
	return errs.New(errs.Corrupt, "%s result of %d bytes cannot be read", what, len(b))
}
