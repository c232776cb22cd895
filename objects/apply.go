package objects

import (
	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// Apply carries out one encoded operation at its timestamp and returns its result. data says where the
// data of the operation's record lies; only Write and Append look at it. The state depends on the
// operations and timestamps only, but for the places in the log (O1). With any kind but errs.OK the
// state is as before (O5) and there is no result.
func Apply(w index.Writer, now hlc.Timestamp, op []byte, data DataRef) (errs.Kind, []byte) {
	o, err := Decode(op)
	if err != nil {
		return errs.Invalid, nil
	}
	return o.apply(newChange(w, now, data))
}

func (o Write) apply(c *change) (errs.Kind, []byte) {
	length := int64(c.data.Len)
	switch {
	case o.Off > MaxSize-length:
		return errs.TooLarge, nil
	case length == 0:
		return errs.OK, nil
	}
	f := c.file(o.Ino)
	f.write(o.Off, length, c.data.LSN, int64(c.data.Off))
	f.modified()
	f.save()
	return errs.OK, nil
}

func (o Append) apply(c *change) (errs.Kind, []byte) {
	f := c.file(o.Ino)
	at, length := f.Size, int64(c.data.Len)
	switch {
	case at > MaxSize-length:
		return errs.TooLarge, nil
	case length > 0:
		f.write(at, length, c.data.LSN, int64(c.data.Off))
		f.modified()
		f.save()
	}
	return errs.OK, encodeSize(at)
}

func (o Truncate) apply(c *change) (errs.Kind, []byte) {
	f := c.file(o.Ino)
	if o.Size == 0 && f.Extents > inlineDelete {
		c.discard(f.ino, f.Epoch)
		f.Epoch++
		f.Extents, f.Bytes = 0, 0
	}
	f.carve(o.Size, f.Size)
	f.Size = o.Size
	f.modified()
	f.save()
	return errs.OK, nil
}

func (o SetTimes) apply(c *change) (errs.Kind, []byte) {
	f := c.file(o.Ino)
	set := func(field *int64, bit TimeMask, t Time) {
		switch t.Kind {
		case TimeNow:
			*field = c.now
		case TimeAt:
			*field = t.At
		default:
			return
		}
		f.Set |= bit
	}
	set(&f.Atime, AtimeSet, o.Atime)
	set(&f.Mtime, MtimeSet, o.Mtime)
	if !o.KeepCtime {
		f.changed()
	}
	f.save()
	return errs.OK, nil
}

func (o Drop) apply(c *change) (errs.Kind, []byte) {
	left := MaxPurge
	for _, ino := range o.Inos {
		a, ok := Stat(c.w, ino)
		if !ok {
			continue
		}
		if a.Extents > inlineDelete || left < inlineDelete {
			c.discard(ino, a.Epoch)
		} else {
			left -= c.deleteExtents(ino, a.Epoch, inlineDelete)
		}
		c.w.Delete(AttrKey(ino))
		c.addUsage(-a.Bytes)
	}
	return errs.OK, nil
}

// deleteExtents deletes at most limit extents of an epoch and returns how many there were to delete.
func (c *change) deleteExtents(ino ids.Ino, epoch Epoch, limit int) int {
	var keys [][]byte
	scanExtents(c.w, ino, epoch, 0, MaxSize, func(e Extent) bool {
		keys = append(keys, e.Key())
		return len(keys) < limit
	})
	for _, k := range keys {
		c.w.Delete(k)
	}
	return len(keys)
}

// checkRange says whether an operation may work on [off, off+length).
func checkRange(off, length int64) errs.Kind {
	switch {
	case length == 0:
		return errs.Invalid
	case off > MaxSize-length:
		return errs.TooLarge
	}
	return errs.OK
}

func (o PunchHole) apply(c *change) (errs.Kind, []byte) {
	return ZeroRange{Ino: o.Ino, Off: o.Off, Len: o.Len, KeepSize: true}.apply(c)
}

func (o ZeroRange) apply(c *change) (errs.Kind, []byte) {
	if kind := checkRange(o.Off, o.Len); kind != errs.OK {
		return kind, nil
	}
	f := c.file(o.Ino)
	f.carve(o.Off, o.Off+o.Len)
	if !o.KeepSize {
		f.Size = max(f.Size, o.Off+o.Len)
	}
	f.modified()
	f.save()
	return errs.OK, nil
}

func (o Allocate) apply(c *change) (errs.Kind, []byte) {
	if kind := checkRange(o.Off, o.Len); kind != errs.OK {
		return kind, nil
	}
	f := c.file(o.Ino)
	if end := o.Off + o.Len; !o.KeepSize && end > f.Size {
		f.Size = end
		f.modified()
	} else {
		f.changed()
	}
	f.save()
	return errs.OK, nil
}

func (o Clone) apply(c *change) (errs.Kind, []byte) {
	switch {
	case o.SrcOff > MaxSize-o.Len, o.DstOff > MaxSize-o.Len:
		return errs.TooLarge, nil
	case o.Src == o.Dst && o.SrcOff < o.DstOff+o.Len && o.DstOff < o.SrcOff+o.Len:
		return errs.Invalid, nil
	}
	var pieces []Piece
	copied := Map(c.w, o.Src, o.SrcOff, o.Len, func(p Piece) bool {
		pieces = append(pieces, p)
		return len(pieces) < MaxPieces
	})
	if copied == 0 {
		return errs.OK, encodeSize(0)
	}
	f := c.file(o.Dst)
	f.carve(o.DstOff, o.DstOff+copied)
	for _, p := range pieces {
		if !p.Hole {
			f.put(Extent{Ino: f.ino, Epoch: f.Epoch, FileOff: o.DstOff + p.FileOff - o.SrcOff, Len: p.Len, LSN: p.LSN, Off: p.Off})
		}
	}
	f.Size = max(f.Size, o.DstOff+copied)
	f.modified()
	f.save()
	return errs.OK, encodeSize(copied)
}

func (o Purge) apply(c *change) (errs.Kind, []byte) {
	counts := loadCounters(c.w)
	left := MaxPurge
	for left > 0 && counts.garbage > 0 {
		ino, epoch, ok := firstGarbage(c.w)
		if !ok {
			panicf("O6: %d garbage records are counted, but there is none", counts.garbage)
		}
		n := c.deleteExtents(ino, epoch, left)
		if n < left { // that was all of it
			c.w.Delete(garbageKey(ino, epoch))
			counts.garbage--
			c.w.Put(counterKey(), counts.encode())
		}
		left -= n
	}
	return errs.OK, appendBool(nil, counts.garbage > 0)
}
