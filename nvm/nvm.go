package nvm

// Dir is a directory of files, without subdirectories.
type Dir interface {
	// Create makes a file of size zero bytes with its space reserved, and opens it for reading and
	// writing. It fails with errs.Exists if the name is taken and with errs.NoSpace, without a trace,
	// if the space cannot be had.
	Create(name string, size int64) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenWrite opens a file for reading and writing. If a crash left it shorter than size, it is
	// extended and its space reserved.
	OpenWrite(name string, size int64) (File, error)
	// List returns the files, by name.
	List() ([]Entry, error)
	// Remove removes the name. Those who have the file open may use it until they close it.
	Remove(name string) error
	// Sync makes all creations and removals so far durable (N1).
	Sync() error
	// String names the directory in messages.
	String() string
}

// Entry is a name in a Dir.
type Entry struct {
	Name string
	Size int64
}

// File is an open file.
type File interface {
	// ReadAt reads as io.ReaderAt does.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes the parts one behind the other, starting at off. All of it must lie within the
	// file. After an error any part may have been written.
	WriteAt(off int64, parts ...[]byte) error
	// Persist makes everything written so far durable (N1, N5).
	Persist() error
	// Close ends the use of the file. It persists nothing.
	Close() error
	// String names the file in messages.
	String() string
}

func total(parts [][]byte) int64 {
	n := int64(0)
	for _, p := range parts {
		n += int64(len(p))
	}
	return n
}
