// Package sim is a fabric for whole clusters in one goroutine: virtual time, seeded delays and faults, and
// the same run from the same seed.
//
// A Network is a queue of events ordered by time. Endpoints are its nodes; each implements
// fabric.Fabric. Step takes the next event: a delivery, whose callbacks run inside Step, or a function
// that the simulator scheduled with At, such as a timer or the end of a disk's sync. Nothing else
// ever happens, so a simulator that draws its own choices from a seed replays exactly.
//
//	Flush --> packet --> inbox of the peer's end: one FIFO a direction --> Step: bytes stored, then words,
//	                     each item due after a random delay                then messages in between, then Wake
//
// Up and Down are items of the same FIFO, so they are ordered with the data of their connection, and the two
// ends learn of them at different times. Faults:
//
//	Clog, Unclog    what flows in one direction waits
//	Cut, Heal       both directions wait; if not healed in time, the connection breaks at both ends
//	Break           the connection breaks: of what is in flight a random prefix still arrives
//	Pause, Resume   nothing reaches a node, Up and Down included
//	Crash           a node is gone, as by kill -9; Endpoint starts it again with empty memory
//
// Bytes of a Write are read from the sender's memory when they are delivered, or when the connection breaks:
// as late as the contract allows, so that a sender that changes them too early is found out. With Config.Tear
// packets arrive in pieces: a Write in several parts, words one by one.
//
// Invariants
//
//	Y1  a run is a function of the configuration and of the calls made: the trace hash shows it.
//	Y2  time never goes back, and events of one time run in the order in which they were scheduled.
//	Y3  a callback runs only inside Step.
//	Y4  a fault never reorders, repeats or alters what one node sends to one peer; it delays it or
//	    loses what came after some point, and then both ends get Down (F1, F3).
package sim
