// Package node is one running node: it reads the configuration, checks that machine, data directory and mount
// point are fit, puts the floors below together, and takes them apart again in order.
//
//	Config --> OpenDataDir --> log, index --> fabric --> shards --> fusefs (mount)
//	                 |                                     |
//	            lock, identity,                     control socket: status, stop
//	            incarnation
//
// Everything that can be refused is refused before anything is changed that another start would notice, and every
// refusal says what to do (package advice). A node that cannot go on (a failed sync, a broken invariant of
// the disk) stops serving and ends with that error: it never retries and acknowledges.
//
// Invariants
//
//	ND1  Validate reports all mistakes at once, each with its field, and looks at nothing but the
//	     configuration.
//	ND2  a data directory serves the one node, cluster and set of members that it was made for, in one process
//	     at a time.
//	ND3  each start has a greater incarnation than every one before, durable before the first message; also one
//	     whose data directory was lost, unless the clock went back.
//	ND4  an orderly stop takes the mount away first, then stops the engine, then closes the log: who was
//	     answered stays answered.
//	ND5  links to other machines are mutual TLS with the certificates of package identity, unless somebody
//	     typed "insecure".
//	ND6  the number of a node is never given to another: who gives one away knows, from the handshakes with a
//	     majority, of all that were given, and takes a higher one. dfs node replace alone gives one again.
//	ND7  a data directory becomes one of dfs in its last step, the writing of its identity: init and join that
//	     were interrupted can be done again.
package node
