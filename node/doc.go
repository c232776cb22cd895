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
// # Who belongs to the cluster
//
// There are two kinds of clusters. Of one whose nodes name each other in their configuration files (dfs dev, tests) the
// nodes are fixed, and they talk in the clear, on one machine unless somebody types "insecure". One that dfs init has
// made has an authority (package identity), and nodes come and go by changes of views: the configuration of the
// newest view says who belongs to it and where they listen, and each view's is handed to the fabric (follow).
// A data directory of such a cluster has beside log and index:
//
//	keys/    certificates and keys of the node and of the authority
//	roster   when the latest certificate of each node was issued
//	left     when the node left the cluster, after which the directory cannot be started again
//	node.toml, the configuration that Init or Join wrote
//
// Letting a node in is two things. First it has the token: a Claim in the one order of the cluster (package namespace), by
// which every node knows who has it, and under which number that one is expected. It gets its certificate then, and all
// nodes connect with it. Once it runs and has caught up, the first member of the view brings it into the
// configuration, by one change of views that also makes it a member (usher). Until then it does not count, so who
// never starts harms nobody. Whoever dies on the way, another node goes on: the joiner may ask any of them again, and that it
// has come the next first member finds out (tidy). Replacing takes the old node out before the new one is expected: what it
// had promised is gone with its disk, so the others must agree without it. A removal that would leave too few running
// nodes is refused at once (admission.enough).
//
// A node leaves by asking another to take it out, for who is out is not told of the view without it.
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
//	ND6  the number of a node is never given to another: numbers are given in the one order of the cluster, each higher
//	     than all before. dfs node replace alone gives one again.
//	ND7  a data directory becomes one of dfs in its last step, the writing of its identity: init and join that
//	     were interrupted can be done again.
package node
