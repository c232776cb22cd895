package tcp

import (
	"sync/atomic"
	"testing"

	"dfs/fabric"
)

// What has come of a long write counts as heard before its end is there, on sockets and on other connections.
func TestHeard(t *testing.T) {
	for _, secure := range []bool{false, true} {
		one, two, wake := pair(t, func(cfg *Config) {
			if secure {
				cfg.Secure = hide
			}
		})
		const size = 8 << 20
		mem, word := fabric.Alloc(size), fabric.Alloc(64)
		two.Register(1, mem)
		two.Register(2, word)
		before := two.Heard(1)
		one.Write(2, 1, 0, make([]byte, size))
		one.WriteWords(2, 2, 0, []uint64{1})
		one.Flush()
		for two.Heard(1) == before {
			<-wake[2]
		}
		for atomic.LoadUint64(&fabric.Words(word)[0]) == 0 {
			<-wake[2]
		}
		if more := two.Heard(1) - before; more < size || more > size+1<<10 {
			t.Errorf("secure %v: %d bytes were heard of a write of %d", secure, more, size)
		}
		if two.Heard(9) != 0 {
			t.Error("nobody is heard")
		}
	}
}
