package versionlog

import (
	"container/list"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"dfs/errs"
	"dfs/nvm"
	"dfs/record"
)

// firstRead is how much is read of a record whose head is not known: the sums of 400 KiB of data fit.
const firstRead = 512

// reader reads records at random: it keeps a bounded number of files open, and the heads of records
// read or appended lately. Its mutex is never held during a read.
type reader struct {
	dir  nvm.Dir
	size int64

	mu       sync.Mutex
	files    map[uint64]*openFile
	maxFiles int
	useCount uint64
	heads    map[LSN]*list.Element // of *head, in order
	order    list.List             // of *head, the one to go first in front
	bytes    int
	maxBytes int
}

// openFile is a segment open for reading. It is closed when it was evicted and nobody reads it.
type openFile struct {
	nvm.File
	users   int
	evicted bool
	used    uint64
}

// head is what is needed to read and verify the data of a record.
type head struct {
	lsn     LSN
	dataAt  int64 // offset in the segment
	dataLen int
	sums    []uint32
	hollow  bool
	used    bool
}

func (h *head) size() int { return 200 + 4*len(h.sums) }

func (r *reader) init(dir nvm.Dir, size int64, cfg Config) {
	r.dir, r.size = dir, size
	r.files, r.maxFiles = make(map[uint64]*openFile), cfg.MaxOpenFiles
	r.heads, r.maxBytes = make(map[LSN]*list.Element), cfg.HeadCacheBytes
}

// acquire opens a segment for reading; release must follow.
func (r *reader) acquire(number uint64) (*openFile, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.files[number]
	if f == nil {
		file, err := r.dir.Open(segmentName(number))
		if errors.Is(err, errs.NotFound) {
			return nil, errs.New(errs.Corrupt, "%v: %s is missing", r.dir, segmentName(number))
		}
		if err != nil {
			return nil, err
		}
		f = &openFile{File: file}
		r.files[number] = f
		r.evictFile(number)
	}
	r.useCount++
	f.users, f.used = f.users+1, r.useCount
	return f, nil
}

// evictFile lets go of the file that was not used for longest, if there are too many. r.mu is held.
func (r *reader) evictFile(except uint64) {
	if len(r.files) <= r.maxFiles {
		return
	}
	oldest := except
	for n, f := range r.files {
		if n != except && (oldest == except || f.used < r.files[oldest].used) {
			oldest = n
		}
	}
	f := r.files[oldest]
	delete(r.files, oldest)
	f.evicted = true
	r.closeUnused(f)
}

func (r *reader) release(f *openFile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.users--
	r.closeUnused(f)
}

func (r *reader) closeUnused(f *openFile) {
	if f.evicted && f.users == 0 {
		// It was only read.
		_ = f.Close()
	}
}

func (r *reader) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, f := range r.files {
		delete(r.files, n)
		f.evicted = true
		r.closeUnused(f)
	}
	return nil
}

func newHead(lsn LSN, offset int64, rec record.Record) *head {
	h := &head{lsn: lsn, dataAt: offset + int64(rec.DataOffset()), dataLen: rec.DataLen(), hollow: rec.Hollow()}
	h.sums = make([]uint32, (h.dataLen+record.BlockSize-1)/record.BlockSize)
	for i := range h.sums {
		h.sums[i] = rec.Sum(i)
	}
	return h
}

// remember keeps the head of a record that was verified or made here.
func (r *reader) remember(lsn LSN, rec record.Record) *head {
	h := newHead(lsn, int64(lsn)%r.size, rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.heads[lsn]; old != nil {
		return old.Value.(*head)
	}
	r.heads[lsn] = r.order.PushBack(h)
	for r.bytes += h.size(); r.bytes > r.maxBytes; {
		e := r.order.Front()
		if old := e.Value.(*head); old.used {
			old.used = false
			r.order.MoveToBack(e)
		} else {
			r.order.Remove(e)
			delete(r.heads, old.lsn)
			r.bytes -= old.size()
		}
	}
	return h
}

// head returns the verified head of the record at lsn.
func (r *reader) head(f *openFile, lsn LSN) (*head, error) {
	r.mu.Lock()
	if e := r.heads[lsn]; e != nil {
		h := e.Value.(*head)
		h.used = true
		r.mu.Unlock()
		return h, nil
	}
	r.mu.Unlock()
	w := window{f: f.File, start: lsn - lsn%LSN(r.size), size: r.size, ahead: firstRead}
	rec, _, err := w.head(int64(lsn) % r.size)
	if err != nil {
		return nil, err
	}
	if rec.Kind() == record.Pad {
		return nil, w.corrupt(int64(lsn)%r.size, errs.New(errs.Corrupt, "filler instead of a record"))
	}
	return r.remember(lsn, rec), nil
}

var blockBufs = sync.Pool{New: func() any { return new([]byte) }}

// data reads data bytes of a record, block by block where they are verified.
func (r *reader) data(f *openFile, h *head, off int, p []byte) error {
	first, last := off/record.BlockSize, (off+len(p)-1)/record.BlockSize
	from, to := first*record.BlockSize, min((last+1)*record.BlockSize, h.dataLen)
	buf := p
	if from != off || to != off+len(p) {
		pooled := blockBufs.Get().(*[]byte)
		defer blockBufs.Put(pooled)
		if cap(*pooled) < to-from {
			*pooled = make([]byte, to-from)
		}
		buf = (*pooled)[:to-from]
	}
	at := h.dataAt + int64(from)
	if n, err := f.ReadAt(buf, at); n < len(buf) {
		if err == nil || err == io.EOF {
			err = errs.New(errs.Corrupt, "%v ends at offset %d, within a record", f, at+int64(n))
		}
		return err
	}
	for i := first; i <= last; i++ {
		block := buf[i*record.BlockSize-from : min((i+1)*record.BlockSize, h.dataLen)-from]
		if got := crc32.Checksum(block, castagnoli); got != h.sums[i] {
			return errs.New(errs.Corrupt, "%v at offset %d: data has checksum %08x, stored is %08x",
				f, at+int64(i*record.BlockSize-from), got, h.sums[i])
		}
	}
	if &buf[0] != &p[0] {
		copy(p, buf[off-from:])
	}
	return nil
}

// ReadData reads len(p) bytes of the data of the record at lsn, starting at off, and verifies each block
// of 4096 bytes that they touch (L2). Damage is errs.Corrupt, naming the file and the offset. What was
// appended and not yet synced can be read too. After an error p may hold bytes that were not verified.
// If the data is not in this log, the error is a *HollowError (L9).
// Who asks for what was never there has it from a damaged index, so that is errs.Corrupt as well.
func (l *Log) ReadData(lsn LSN, off int, p []byte) error {
	if start, end := l.Start(), l.End(); lsn < start || lsn >= end || lsn%unit != 0 {
		return errs.New(errs.Corrupt, "no record at position %d of the log, which has %d to %d", lsn, start, end)
	}
	f, err := l.reads.acquire(l.number(lsn))
	if err != nil {
		return err
	}
	defer l.reads.release(f)
	h, err := l.reads.head(f, lsn)
	if err != nil {
		return err
	}
	if off < 0 || off > h.dataLen || len(p) > h.dataLen-off {
		return errs.New(errs.Corrupt, "bytes %d to %d of a record with %d at position %d", off, off+len(p), h.dataLen, lsn)
	}
	if len(p) == 0 {
		return nil
	}
	if h.hollow {
		return &HollowError{LSN: lsn}
	}
	return l.reads.data(f, h, off, p)
}
