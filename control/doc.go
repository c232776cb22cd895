// Package control is how tools talk to a running node: a unix socket in the node's data directory, on which a
// client sends one request and gets one answer.
//
//	client  {"protocol":1,"command":"status"}\n
//	node    {"status":{...}}\n            or  {"error":{"kind":7,"text":"...","hint":"..."}}\n
//
// Both are one line of JSON, so that a shell with socat is a client too. The socket belongs to the owner of
// the data directory, mode 0600 in a directory of mode 0700; there is no other authentication.
//
// Invariants
//
//	C1  a line longer than its limit is refused before it is kept in memory: MaxRequest for the node,
//	    MaxResponse for the client.
//	C2  no byte that a client sends can do more than get an error back; unknown fields and commands are
//	    errors, so that a client never believes that something old understood something new.
//	C3  a client that says nothing, or does not read, is dropped after Patience, and holds up nobody else.
//	C4  only the owner of the data directory and root can connect.
//
// Lock of the data directory and process id live here too (Lock, Holder), for what asks "does it run?" and
// what asks "how is it?" are the same tools.
package control
