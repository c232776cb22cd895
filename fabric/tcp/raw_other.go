//go:build !linux

package tcp

import (
	"net"
	"time"
)

// Elsewhere than on Linux every connection is served through net.Conn.

type rawWriter struct{}

func newRawWriter(net.Conn) *rawWriter        { return nil }
func (w *rawWriter) write(*batch, bool) error { panic("fabric/tcp: no raw sockets here") }

type rawReader struct{}

func newRawReader(net.Conn, *decoder, []byte) *rawReader { return nil }
func (r *rawReader) next() (int, bool, error)            { panic("fabric/tcp: no raw sockets here") }

func tune(nc net.Conn, deadAfter time.Duration) {}

func bound(nc net.Conn) {}
