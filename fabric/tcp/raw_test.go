//go:build linux

package tcp

import (
	"math"
	"testing"

	"golang.org/x/sys/unix"
)

// What both ends of a link within this machine have in flight is bounded, with TLS or without.
func TestShortLink(t *testing.T) {
	for _, secure := range []bool{false, true} {
		one, two, _ := pair(t, func(cfg *Config) {
			if secure {
				cfg.Secure = hide
			}
		})
		for _, c := range []*conn{one.peer(2).conn, two.peer(1).conn} {
			size := 0
			err := rawOf(c.base).Control(func(fd uintptr) {
				size, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
			})
			if err != nil || size != shortBuffer {
				t.Errorf("secure %v: node %d has a send buffer of %d (%v), want %d", secure, c.p.f.cfg.Self, size, err, shortBuffer)
			}
		}
	}
}

// A link over a distance needs to fill the wire, and one that nothing is known of may be such.
func TestLongLink(t *testing.T) {
	for micros, want := range map[uint32]bool{0: false, 1: true, 100: true, 101: false, 20_000: false, math.MaxUint32: false} {
		if short(micros) != want {
			t.Errorf("a round trip of %d microseconds: short is %v", micros, !want)
		}
	}
}
