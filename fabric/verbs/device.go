package verbs

import "time"

// device is an adapter. ibv.go has the real one.
type device interface {
	name() string
	// words is how many words one write may carry and still store each whole, in ascending order (Q3).
	words() int
	open(s sizes) (pair, error)
	close()
}

// sizes are what a pair is made with.
type sizes struct {
	sends    int // slots of the send queue
	receives int // slots of the receive queue
	chunk    int // bytes of a receive slot
	stage    int // bytes to send from
}

// queue is one of the two completion queues of a pair.
type queue int

const (
	sendQueue queue = iota
	receiveQueue
)

// pair is a queue pair with its protection domain, completion queues and channel, and memory to send from and
// to receive into. Only wait may be called beside others.
type pair interface {
	local() endpoint
	// connect makes the pair ready to receive and to send. All receive slots are posted by then.
	connect(remote endpoint) error
	// inline is the longest payload that may be posted with flagInline.
	inline() int
	stage() ([]byte, key)
	slot(i int) []byte
	register(mem []byte, remote bool) (registration, error)
	receive(slots []uint32) error
	post(wrs []request) error
	// poll takes completions. If there are none it looks again, so many times in all.
	poll(q queue, into []completion, looks int) (int, error)
	// arm makes the next completion of q end a wait.
	arm(q queue) error
	// wait sleeps until a completion of an armed queue, the deadline if it is not zero, or close.
	wait(deadline time.Time) error
	// close ends the queue pair, and a wait; when it returns nothing lands any more (Q4). release gives back the
	// rest, once the registrations are closed.
	close()
	release()
}

type key struct {
	addr   uint64
	local  uint32
	remote uint32
}

type registration interface {
	key() key
	close() error
}

// endpoint is how a queue pair is reached.
type endpoint struct {
	number   uint32 // of the queue pair
	sequence uint32 // of its first packet
	lid      uint16
	ethernet bool
	mtu      uint8 // as the verbs code it: 1 is 256 bytes, 5 is 4096
	gid      [16]byte
}

// Operations of a request.
const (
	opWrite    = 0
	opWriteImm = 1
	opSend     = 2
)

const (
	flagSignalled = 1
	flagInline    = 2
)

// request is one entry of the send queue, laid out as struct dfs_request.
type request struct {
	id     uint64
	local  uint64
	remote uint64
	size   uint32
	lkey   uint32
	rkey   uint32
	imm    uint32
	op     uint32
	flags  uint32
}

// completion is one entry of a completion queue, laid out as struct dfs_completion. Of a receive, id is the slot.
type completion struct {
	id     uint64
	size   uint32
	imm    uint32
	status uint32
	hasImm uint32
}
