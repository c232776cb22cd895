package fabric

import "unsafe"

// Alloc returns zeroed memory of n bytes whose address is a multiple of 64, fit for Register.
func Alloc(n int) []byte {
	words := make([]uint64, (n+64)/8+1)
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[skip : skip+n : skip+n]
}

// Words returns the same memory as 8-byte words. The address of b must be a multiple of 8; bytes
// after the last whole word are left out.
func Words(b []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}

// Aligned reports whether memory may be registered: whether its address is a multiple of 64.
func Aligned(b []byte) bool {
	return len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))&63 == 0
}
