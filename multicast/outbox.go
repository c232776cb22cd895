package multicast

// Outbox is the sending side of a Group's own ring, shared by many goroutines under a mutex of the
// caller: Reserve with the mutex held, build the record without it, Commit with it.
type Outbox struct{}

// Reservation is room in the own ring for one message. Build the record in Buf (record.Build, or a copy
// of a record of the same size), then Commit.
type Reservation struct {
	Buf []byte
	id  uint64
}
