// Package identity says who belongs to a cluster: the cluster's own authority, the certificates of its nodes, and
// the tokens with which new nodes come in. It keeps no files and opens no connections: bytes come in, bytes go
// out, and whoever calls stores and carries them.
//
//	Authority    a self-signed Ed25519 certificate and its key. Its Fingerprint, the SHA-256 of the
//	             certificate, is the identity of the cluster: two clusters of one name do not mix.
//	certificate  of a node, signed by the authority, for both ends of a link. Its one subject alternative name
//	             is dfs:///CLUSTER/NODE/ISSUE, with ISSUE the unix time in seconds at which the node was let
//	             in: a node that replaces a lost one has the same number and a later ISSUE.
//	Token        what `dfs token create` prints: the fingerprint, addresses of nodes, an expiry, a random number,
//	             and the authority's seal on that. It lets one node in, once.
//
// A link between nodes is mutual TLS 1.3 with ALPN "dfs-link/1". Joining goes to the same port, with ALPN
// "dfs-join/1": the node shows its certificate and the authority's, of which the joiner knows the fingerprint from
// the token; the joiner has no certificate yet and then shows the token:
//
//	joiner  Request{token, certificate request, address}
//	member  has the use of the token noted in the cluster's one order, where the first to use it has it,
//	        Answer{number, certificate, authority, configuration} or Answer{failure}
//
// each as JSON behind its length, 4 bytes little-endian.
//
// # Who holds the authority's key
//
// Every node does: it gets it with the answer, over TLS. So any node that lives can make tokens and let others in,
// also after the first one burnt, and each renews its own certificate when a third of its time is left, with nobody
// to remember it. The price: who breaks into one node can make certificates. Such a one has every byte of the
// filesystem already, and may change it in the name of that node. But removing a node does not take the key from it, so
// after a break-in (as opposed to a loss) make a new cluster and copy the files.
//
// # Invariants
//
//	ID1  a certificate is accepted only if the cluster's authority signed it for a node, it is within its time, and
//	     the other end proved to hold its key; certificates of the authority itself are no node's.
//	ID2  of two certificates for one node number the later issued one holds: the earlier is refused by every node
//	     that has seen the later.
//	ID3  a token lets in one key, whatever node it is shown to: its use is durable in the one order of the cluster
//	     before the answer, and later requests with another key are refused. The same key may ask again, at any node, should
//	     the answer be lost.
//	ID4  what nodes keep of tokens lets nobody in: of those that were used, who used them.
//	ID5  bytes from outside (tokens, requests, answers, certificates) are refused or understood; they
//	     never make a reader panic or keep more than their limit.
package identity
