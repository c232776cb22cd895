package index

// KV is the ordered store below an Index. One goroutine at a time calls Apply; everything else may be
// called by many at once, also during Apply.
type KV interface {
	// Get returns the value of key. It is never changed and may be kept.
	Get(key []byte) (value []byte, ok bool, err error)
	// Iter returns an unpositioned iterator over the keys in [from, to) as they are now, whatever is
	// applied later.
	Iter(from, to []byte) (Iter, error)
	// Apply makes all changes in one step (X1). Where a key occurs twice the later change wins. The
	// store may keep the slices; they are not changed any more.
	Apply(changes []Change) error
	// Err returns the error after which the store takes nothing more, also one that happened in the background.
	Err() error
	// Flush makes everything applied so far durable.
	Flush() error
	// Close ends the use of the store; what was not flushed may be lost.
	Close() error
}

// Change sets or deletes one key of a KV.
type Change struct {
	Key, Value []byte
	Delete     bool
	New        bool // the store shows no row of the key: a hint for who has to remember a deletion
}

// Iter moves over a moment of a KV. The moves return Valid. Key and Value are valid until the next move.
// One goroutine uses it.
type Iter interface {
	SeekGE(key []byte) bool // to the first key >= key
	SeekLT(key []byte) bool // to the last key < key
	Next() bool
	Prev() bool
	Valid() bool
	Key() []byte
	Value() []byte
	Close() error // returns the first error that made a move stop early
}
