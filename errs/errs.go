package errs

import (
	"errors"
	"fmt"
)

// Kind classifies an operating error. A Kind is itself an error, so errors.Is(err, errs.NotFound)
// works through every wrapping.
type Kind uint16

// The kinds. Numbers are part of the log and wire formats (E1): only append.
const (
	OK              Kind = 0  // no error
	IO              Kind = 1  // a disk or a peer failed, or the cause is not known
	NotFound        Kind = 2  // no such name, inode, version or attribute holder
	Exists          Kind = 3  // the name is taken
	NotDirectory    Kind = 4  // a directory was needed
	IsDirectory     Kind = 5  // a directory was given where none may be
	NotEmpty        Kind = 6  // the directory has entries
	Invalid         Kind = 7  // an argument has no meaning here
	ReadOnly        Kind = 8  // the past cannot be changed
	NameTooLong     Kind = 9  // a name over 255 bytes or a target over 4095
	TooManyLinks    Kind = 10 // the link count would overflow
	NotPermitted    Kind = 11 // the operation is never allowed on this object
	AccessDenied    Kind = 12 // the caller lacks permission
	NoSpace         Kind = 13 // the disk or the log is full
	TooLarge        Kind = 14 // beyond the largest file size or value size
	NoAttribute     Kind = 15 // no such extended attribute
	Range           Kind = 16 // the buffer given is too small
	NotSupported    Kind = 17 // known, but not offered
	Busy            Kind = 18 // in use by someone else
	CrossDevice     Kind = 19 // would leave the filesystem, or cross between past and present
	Stale           Kind = 20 // the object is gone for good
	Interrupted     Kind = 21 // the caller gave up waiting
	Unavailable     Kind = 22 // the cluster cannot serve this now (no view, shutting down)
	Corrupt         Kind = 23 // stored or received bytes fail their checksum or make no sense
	WouldLoop       Kind = 24 // a directory would become its own ancestor, or too many links followed
	Future          Kind = 25 // a time that has not come yet
	BeforeBeginning Kind = 26 // a time before the filesystem existed
	WouldBlock      Kind = 27 // somebody else has the lock
	Deadlock        Kind = 28 // waiting for the lock would never end
	NoLocks         Kind = 29 // too many locks on one file
	numKinds        Kind = 30
)

var names = [numKinds]string{
	"no error", "input/output error", "not found", "already exists", "not a directory", "is a directory",
	"directory not empty", "invalid argument", "read-only", "name too long", "too many links", "not permitted",
	"access denied", "no space left", "too large", "no such attribute", "buffer too small", "not supported",
	"busy", "cross-device", "stale", "interrupted", "unavailable", "corrupt", "would make a loop",
	"in the future", "before the beginning", "locked by somebody else", "would be a deadlock", "too many locks",
}

// Kinds returns all kinds but OK, for tables that must be complete.
func Kinds() []Kind {
	all := make([]Kind, 0, numKinds-1)
	for k := OK + 1; k < numKinds; k++ {
		all = append(all, k)
	}
	return all
}

// Error returns the kind in words.
func (k Kind) Error() string {
	if k < numKinds {
		return names[k]
	}
	return fmt.Sprintf("error kind %d", uint16(k))
}

// detailed is an error of a kind with a message.
type detailed struct {
	kind  Kind
	text  string
	cause error
}

func (e *detailed) Error() string {
	if e.cause != nil {
		return e.text + ": " + e.cause.Error()
	}
	return e.text
}

func (e *detailed) Unwrap() []error {
	if e.cause != nil {
		return []error{e.kind, e.cause}
	}
	return []error{e.kind}
}

// New returns an error of the kind whose text is the formatted message.
func New(kind Kind, format string, args ...any) error {
	return &detailed{kind: kind, text: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of the kind whose text is the formatted message followed by the cause.
func Wrap(kind Kind, cause error, format string, args ...any) error {
	return &detailed{kind: kind, text: fmt.Sprintf(format, args...), cause: cause}
}

// KindOf returns the kind of err: OK for nil, IO for an error that has none (E2).
func KindOf(err error) Kind {
	if err == nil {
		return OK
	}
	var k Kind
	if errors.As(err, &k) {
		return k
	}
	return IO
}
