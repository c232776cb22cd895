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
)

// What a node remembers beside log and index: the view it is in, and the latest moment that it answered
// questions about.
const (
	viewName  = "view"
	floorName = "floor"
)

// loadView returns the view state that saveView saved last, the zero value for a new node.
func (d *DataDir) loadView() (views.Durable, error) {
	path := filepath.Join(d.Path, viewName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return views.Durable{}, nil
	}
	if err != nil {
		return views.Durable{}, errs.Wrap(errs.IO, err, "read the view state")
	}
	if len(b) < 4 || crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return views.Durable{}, damaged(path)
	}
	v, err := views.DecodeDurable(b[4:])
	if err != nil {
		return views.Durable{}, errs.Wrap(errs.KindOf(err), err, "%s", path)
	}
	return v, nil
}

// saveView persists the view state.
func (d *DataDir) saveView(v views.Durable) error {
	body := v.Encode()
	b := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli))
	return replaceFile(filepath.Join(d.Path, viewName), append(b, body...))
}

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
