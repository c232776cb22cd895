//go:build !race

package tcp

func raceRelease()      {}
func raceAcquire()      {}
func raceReads([]byte)  {}
func raceWrites([]byte) {}
