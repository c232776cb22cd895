package fusefs

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dfs/hlc"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// wire talks the kernel's protocol to a filesystem, without a kernel.
type wire struct {
	t        testing.TB
	store    *fake
	f        *filesystem
	protocol *fuse.ProtocolServer
	unique   uint64
	nodes    []uint64 // that the filesystem has given out
	handles  []uint64
}

const opCreate, opMkdir = 35, 9

func newWire(t testing.TB) *wire {
	store := newFake()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); store.close() })
	cfg := Config{MountPoint: "/none", Store: store, Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	w := &wire{t: t, store: store, f: newFilesystem(ctx, cfg), nodes: []uint64{1, 0, 2, pastBit, 1 << 40}, handles: []uint64{0, 1, 2}}
	w.f.locks.run(ctx)
	options := (&Server{cfg: cfg}).options()
	options.PanicHandler = func(v any) fuse.Status {
		t.Errorf("a request made the filesystem panic: %v\n%s", v, stack())
		return fuse.EIO
	}
	w.protocol = fuse.NewProtocolServer(w.f, options)
	init := binary.NativeEndian.AppendUint32(nil, 7)
	init = binary.NativeEndian.AppendUint32(init, 45)
	init = binary.NativeEndian.AppendUint32(init, 1<<20)
	init = binary.NativeEndian.AppendUint32(init, 0xffffffff)
	init = append(init, make([]byte, 48)...)
	if status, _ := w.call(opInit, 0, init); status != 0 {
		t.Fatalf("INIT: %d", status)
	}
	return w
}

// call sends one request and returns the status and what follows the header of the reply.
func (w *wire) call(op uint32, node uint64, body []byte) (status int32, reply []byte) {
	w.unique++
	b := binary.NativeEndian.AppendUint32(nil, uint32(inHeaderSize+len(body)))
	b = binary.NativeEndian.AppendUint32(b, op)
	b = binary.NativeEndian.AppendUint64(b, w.unique)
	b = binary.NativeEndian.AppendUint64(b, node)
	b = append(b, make([]byte, 16)...) // root, no process, no extensions
	b = append(b, body...)
	h, ok := parseHeader(b)
	if !ok {
		w.t.Fatal("the header does not fit")
	}
	w.f.inline(h, b)
	out := make([]byte, h.replySize(b))
	n, _ := w.protocol.HandleRequest([][]byte{b}, [][]byte{out})
	if n == 0 {
		return 0, nil
	}
	if n < outHeaderSize || int(binary.NativeEndian.Uint32(out)) != n || binary.NativeEndian.Uint64(out[8:]) != w.unique {
		w.t.Fatalf("opcode %d: a reply of %d bytes says %d", op, n, binary.NativeEndian.Uint32(out))
	}
	status, reply = int32(binary.NativeEndian.Uint32(out[4:])), out[outHeaderSize:n]
	if status == 0 && (op == opLookup || op == opMkdir || op == opCreate) && len(w.nodes) < 64 {
		w.nodes = append(w.nodes, binary.NativeEndian.Uint64(reply))
	}
	if status == 0 && op == opCreate {
		w.handles = append(w.handles, binary.NativeEndian.Uint64(reply[128:]))
	}
	if status == 0 && (op == opOpen || op == opOpendir) && len(w.handles) < 64 {
		w.handles = append(w.handles, binary.NativeEndian.Uint64(reply))
	}
	return status, reply
}

func TestWithoutKernel(t *testing.T) {
	w := newWire(t)
	mkdir := append(binary.NativeEndian.AppendUint32(nil, 0o755), 0, 0, 0, 0)
	if status, reply := w.call(opMkdir, 1, append(mkdir, "d\x00"...)); status != 0 || len(reply) != 128 {
		t.Fatalf("MKDIR: %d, %d bytes", status, len(reply))
	}
	if status, _ := w.call(opLookup, 1, []byte("d\x00")); status != 0 {
		t.Errorf("LOOKUP: %d", status)
	}
	if status, _ := w.call(opLookup, 1, []byte("e\x00")); status != -int32(unix.ENOENT) {
		t.Errorf("LOOKUP of nothing: %d", status)
	}
	if status, _ := w.call(opGetattr, 12345, make([]byte, 16)); status != -int32(unix.ESTALE) {
		t.Errorf("GETATTR of a node that was never given out: %d", status)
	}
	for op := uint32(1); op < 64; op++ { // any request may come with nothing but zeros
		if op != opInit {
			w.call(op, 1, make([]byte, 256))
		}
	}
}

// U5: a node is known as long as the kernel has references or handles, and no longer.
func TestNodesAreForgotten(t *testing.T) {
	w := newWire(t)
	mkdir := append(binary.NativeEndian.AppendUint32(nil, 0o755), 0, 0, 0, 0)
	_, reply := w.call(opMkdir, 1, append(mkdir, "d\x00"...))
	id := binary.NativeEndian.Uint64(reply)
	w.call(opLookup, 1, []byte("d\x00"))
	_, door := w.call(opLookup, 1, []byte("@t=-0s\x00"))
	past := binary.NativeEndian.Uint64(door)
	forget := func(id, count uint64) { w.call(opForget, id, binary.NativeEndian.AppendUint64(nil, count)) }
	if live, old := w.f.nodes.counts(); live != 2 || old != 1 {
		t.Errorf("U5: %d live and %d past nodes", live, old)
	}
	_, opened := w.call(opOpendir, id, make([]byte, 8))
	forget(id, 1)
	forget(past, 1)
	if live, old := w.f.nodes.counts(); live != 2 || old != 0 {
		t.Errorf("U5: %d live and %d past nodes with a reference left", live, old)
	}
	forget(id, 1)
	if w.f.nodes.find(id) == nil {
		t.Error("U5: an open directory was forgotten")
	}
	w.call(opReleasedir, id, append(slices.Clone(opened[:8]), make([]byte, 16)...))
	if w.f.nodes.find(id) != nil {
		t.Error("U5: a node without references is still there")
	}
	forget(1, 1<<60)
	if w.f.nodes.find(1) == nil {
		t.Error("U5: the root was forgotten")
	}
}

// U11: a directory that another node moved is found there under another number, so that the kernel need not move it;
// one that this kernel moved keeps its number. U5: both are known as long as the kernel has references.
func TestMovedDirectories(t *testing.T) {
	w := newWire(t)
	mkdir := append(binary.NativeEndian.AppendUint32(nil, 0o755), 0, 0, 0, 0)
	_, reply := w.call(opMkdir, 1, append(mkdir, "d\x00"...))
	first := binary.NativeEndian.Uint64(reply)
	lookup := func(name string) uint64 {
		t.Helper()
		status, reply := w.call(opLookup, 1, append([]byte(name), 0))
		if status != 0 {
			t.Fatalf("LOOKUP %s: %d", name, status)
		}
		return binary.NativeEndian.Uint64(reply)
	}
	w.store.as(fakeOther, ids.Namespace, namespace.Rename{OldParent: 1, OldName: "d", NewParent: 1, NewName: "e"}.Encode())
	second := lookup("e")
	if second == first || lookup("e") != second {
		t.Fatalf("U11: %d, found elsewhere as %d and then %d", first, second, lookup("e"))
	}
	if status, _ := w.call(12, 1, append(binary.NativeEndian.AppendUint64(nil, 1), "e\x00f\x00"...)); status != 0 || lookup("f") != second {
		t.Fatalf("U11: moved here: %d, %d", status, lookup("f"))
	}
	for _, id := range []uint64{first, second} {
		if n := w.f.nodes.find(id); n == nil || uint64(n.ino) != first {
			t.Errorf("U5: %d means %v", id, n)
		}
	}
	if w.f.nodes.release(ids.Ino(first), 0, false) || len(w.f.nodes.numbers([]ids.Ino{ids.Ino(first)})) != 2 {
		t.Error("U9: a directory that the kernel knows by two numbers may be released")
	}
	forget := func(id, count uint64) { w.call(opForget, id, binary.NativeEndian.AppendUint64(nil, count)) }
	forget(second, 10)
	third := lookup("f")
	if third == first || w.f.nodes.find(first) == nil {
		t.Errorf("U5: the number %d is given out twice", third)
	}
	forget(first, 10)
	forget(third, 10)
	if w.f.nodes.find(first) != nil || w.f.nodes.find(second) != nil || w.f.nodes.find(third) != nil {
		t.Error("U5: a node without references is still there")
	}
}

// FuzzRequest feeds requests with any bytes to the filesystem. Each is an opcode, a choice of node and of handle, a
// length and a body, of which the first eight bytes become the handle.
func FuzzRequest(f *testing.F) {
	seed := func(requests ...[]byte) { f.Add(slices.Concat(requests...)) }
	req := func(op, node, handle byte, body string) []byte {
		return append([]byte{op, node, handle, byte(len(body)), byte(len(body) >> 8)}, body...)
	}
	zeros := func(n int) string { return string(make([]byte, n)) }
	seed(req(opMkdir, 0, 0, "\xed\x01\x00\x00\x00\x00\x00\x00d\x00"), req(opLookup, 0, 0, "@t=-0s\x00"), req(opLookup, 0, 0, "@history\x00"),
		req(opOpendir, 5, 0, zeros(8)), req(opReaddirplus, 5, 3, zeros(16)+"\x00\x10\x00\x00"+zeros(20)))
	seed(req(opCreate, 0, 0, "\x42\x80\x00\x00\xa4\x81\x00\x00"+zeros(8)+"f\x00"), req(opWrite, 5, 1, zeros(16)+"\x05\x00\x00\x00"+zeros(20)+"hello"),
		req(opRead, 5, 1, zeros(16)+"\x00\x10\x00\x00"+zeros(20)), req(opLookup, 0, 0, "f@v=1.2\x00"), req(opFlush, 5, 1, zeros(24)), req(opRelease, 5, 1, zeros(24)))
	seed(req(12, 0, 0, "\x01"+zeros(7)+"d\x00e\x00"), req(21, 5, 0, "\x01\x00\x00\x00"+zeros(12)+"user.a\x00x"), req(opGetxattr, 5, 0, "\x08"+zeros(7)+"user.a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWire(t)
		for calls := 0; len(data) >= 5 && calls < 64; calls++ {
			op, node, handle := uint32(data[0]), w.nodes[int(data[1])%len(w.nodes)], w.handles[int(data[2])%len(w.handles)]
			n := min(int(data[3])|int(data[4])<<8, len(data)-5)
			body := slices.Clone(data[5 : 5+n])
			data = data[5+n:]
			if op == opInit || op == opDestroy || op == opSetlkw {
				continue // the kernel sends these at the beginning and the end; a lock may be waited for for ever
			}
			if handle > 0 && len(body) >= 8 {
				binary.NativeEndian.PutUint64(body, handle)
			}
			w.call(op, node, body)
		}
		report := func(problem string) { t.Error(problem) }
		if err := w.store.drained(context.Background()); err != nil {
			t.Error(err)
		}
		namespace.Check(w.store.index.At(ids.Namespace, hlc.Latest), report)
		for sub := range w.store.shards {
			objects.Check(w.store.index.At(ids.Subgroup(sub+1), hlc.Latest), report)
		}
	})
}
