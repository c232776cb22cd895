// Package identity says who belongs to a cluster: the cluster's own authority, the certificates of its nodes, and
// the tokens with which new nodes come in. It keeps no files and opens no connections: bytes come in, bytes go
// out, and whoever calls stores and carries them.
//
//	Authority    a self-signed Ed25519 certificate and its key. Its Fingerprint, the SHA-256 of the
//	             certificate, is the identity of the cluster: two clusters of one name do not mix.
//	certificate  of a node, signed by the authority, for both ends of a link. Its one subject alternative name
//	             is dfs:///CLUSTER/NODE/ISSUE, with ISSUE the unix time in seconds at which the node was let
//	             in: a node that replaces a lost one has the same number and a later ISSUE.
//	Token        what `dfs token create` prints: the fingerprint, addresses of a member, a secret of 128
//	             random bits, an expiry. It lets one node in, once.
//	Ledger       the tokens that a node has made. It knows the hash of each secret, not the secret.
//
// A link between nodes is mutual TLS 1.3 with ALPN "dfs-link/1". Joining goes to the same port, with ALPN
// "dfs-join/1": the node shows its certificate and the authority's, of which the joiner knows the fingerprint from
// the token; the joiner has no certificate yet and shows the secret:
//
//	joiner  Request{secret, certificate request, address}
//	member  records the use of the token, adds the node to the configuration,
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
//	ID3  a token lets in one key: its use is in the ledger before the answer, and later requests with another
//	     key are refused. The same key may ask again, should the answer be lost.
//	ID4  the ledger, which lies on a disk, has nothing in it that lets anybody in.
//	ID5  bytes from outside (tokens, requests, answers, certificates, ledgers) are refused or understood; they
//	     never make a reader panic or keep more than their limit.
package identity
