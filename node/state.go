package node

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"dfs/errs"
	"dfs/hlc"
	"dfs/views"

	"golang.org/x/sys/unix"
)

// What a node remembers beside log and index: the view it is in, and the latest moment that it answered
// questions about.
const (
	viewName  = "view"
	floorName = "floor"
)

// viewFile holds the view state. It is written in place, for a change of views waits for that several times: one
// fdatasync(2) of a block that is there already takes a fraction of what a new file does, with its name.
//
// There are two slots, written in turn, so that a crash while one is written leaves the other. In each the state
// stands twice, so that a bit that rots does not bring back the state before, with which the node would break its word:
//
//	at (2*slot + copy) * viewPlace:  CRC-32C of what follows u32 | number of the saving u64 | length u32 | state
type viewFile struct {
	file  *os.File
	saved uint64 // the number of the last saving
}

const (
	viewPlace = 256 << 10 // more than a state of MaxNodes nodes takes
	viewHead  = 4 + 8 + 4
)

// loadView returns the view state that was saved last, the zero value for a new node, and the number of that saving.
func (d *DataDir) loadView() (v views.Durable, saved uint64, err error) {
	path := filepath.Join(d.Path, viewName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, 0, nil
	}
	if err != nil {
		return v, 0, errs.Wrap(errs.IO, err, "read the view state")
	}
	var body []byte
	for at := 0; at < len(b); at += viewPlace {
		if number, state, ok := viewAt(b[at:]); ok && number > saved {
			saved, body = number, state
		}
	}
	if saved == 0 {
		return v, 0, damaged(path)
	}
	if v, err = views.DecodeDurable(body); err != nil {
		err = errs.Wrap(errs.KindOf(err), err, "%s", path)
	}
	return v, saved, err
}

// viewAt returns the state at a place in the file.
func viewAt(b []byte) (number uint64, state []byte, ok bool) {
	le := binary.LittleEndian
	if len(b) < viewHead || uint64(le.Uint32(b[12:])) > uint64(len(b)-viewHead) {
		return 0, nil, false
	}
	b = b[:viewHead+le.Uint32(b[12:])]
	return le.Uint64(b[4:]), b[viewHead:], crc32.Checksum(b[4:], castagnoli) == le.Uint32(b)
}

// openView opens the file for saving. A node that never had one gets one with nothing in it.
func (d *DataDir) openView() (*viewFile, views.Durable, error) {
	path := filepath.Join(d.Path, viewName)
	v, saved, err := d.loadView()
	if err != nil {
		return nil, v, err
	}
	if saved == 0 {
		saved = 1
		if err := replaceFile(path, encodeView(v, saved)); err != nil {
			return nil, v, err
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, v, errs.Wrap(errs.IO, err, "open the view state")
	}
	return &viewFile{file, saved}, v, nil
}

func encodeView(v views.Durable, number uint64) []byte {
	le := binary.LittleEndian
	state := v.Encode()
	b := append(le.AppendUint32(le.AppendUint64(make([]byte, 4, viewHead+len(state)), number), uint32(len(state))), state...)
	le.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// save makes the view state durable.
func (f *viewFile) save(v views.Durable) error {
	b := encodeView(v, f.saved+1)
	if len(b) > viewPlace {
		return errs.New(errs.TooLarge, "the view state takes %d bytes, there is room for %d", len(b), viewPlace)
	}
	f.saved++
	slot := int64(f.saved-1) % 2 * 2 * viewPlace // the first one is in slot 0, see openView
	for _, at := range []int64{slot, slot + viewPlace} {
		if _, err := f.file.WriteAt(b, at); err != nil {
			return errs.Wrap(errs.IO, err, "write the view state")
		}
	}
	if err := unix.Fdatasync(int(f.file.Fd())); err != nil {
		return errs.Wrap(errs.IO, err, "persist the view state")
	}
	return nil
}

func (f *viewFile) close() error { return f.file.Close() }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// floorFile holds a moment. It is written in place and not synced: it must survive the end of the process, and
// after a loss of power nobody remembers what was answered.
type floorFile struct{ file *os.File }

// openFloor returns the file and the moment in it. One that fails its checksum, as after a loss of power, counts
// as none.
func (d *DataDir) openFloor() (*floorFile, hlc.Timestamp, error) {
	f, err := os.OpenFile(filepath.Join(d.Path, floorName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, errs.Wrap(errs.IO, err, "open the floor")
	}
	var b [12]byte
	if n, _ := f.ReadAt(b[:], 0); n == len(b) && crc32.Checksum(b[:8], castagnoli) == binary.LittleEndian.Uint32(b[8:]) {
		return &floorFile{f}, hlc.Timestamp(binary.LittleEndian.Uint64(b[:])), nil
	}
	return &floorFile{f}, 0, nil
}

// save replaces the moment.
func (f *floorFile) save(t hlc.Timestamp) error {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], uint64(t))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[:8], castagnoli))
	if _, err := f.file.WriteAt(b[:], 0); err != nil {
		return errs.Wrap(errs.IO, err, "write the floor")
	}
	return nil
}

func (f *floorFile) close() error { return f.file.Close() }

// damaged is the error for a small file that fails its checksum.
func damaged(path string) error {
	return errs.New(errs.Corrupt, "%s is damaged", path)
}
