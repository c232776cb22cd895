package record

import "encoding/binary"

// hollowMagic stands in place of magic where the data is left out. The header's checksum does not cover it.
const hollowMagic = 0x48736664 // "dfsH"

// Hollow reports whether the record is there without the data that it has elsewhere.
func (r Record) Hollow() bool { return binary.LittleEndian.Uint32(r) == hollowMagic }

// Hollowed returns a copy of an operation without its data, or r itself if it has none, or none any more. All but the
// data is as it was, so data that is brought from elsewhere is verified by it (R4).
func (r Record) Hollowed() Record {
	if r.Hollow() || r.Kind() != Op || r.DataLen() == 0 {
		return r
	}
	h := append(Record(nil), r[:r.DataOffset()]...)
	binary.LittleEndian.PutUint32(h, hollowMagic)
	return h
}

// SameData reports whether r and o are records of as much data with the same sums.
func (r Record) SameData(o Record) bool {
	if r.DataLen() != o.DataLen() {
		return false
	}
	n := sumsLen(Op, r.DataLen())
	return string(r[HeaderSize:HeaderSize+n]) == string(o[HeaderSize:HeaderSize+n])
}

// VerifyPart reports whether data, which begins at off, a multiple of BlockSize, and ends with a block or with the data
// of the record, is what the sender summed.
func (r Record) VerifyPart(off int, data []byte) bool {
	end := off + len(data)
	if len(data) == 0 || off%BlockSize != 0 || end > r.DataLen() || end%BlockSize != 0 && end != r.DataLen() {
		return false
	}
	for i := off / BlockSize; len(data) > 0; i++ {
		n := min(BlockSize, len(data))
		if !r.VerifyBlock(i, data[:n]) {
			return false
		}
		data = data[n:]
	}
	return true
}
