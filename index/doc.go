// Package index keeps what the log means: the records of the state machines (inodes, entries, extents),
// ordered by key, every version of them. A record is a key and a value in a subgroup; each change is
// tagged with the timestamp of the operation that made it, and a Reader shows the records as they were
// at one timestamp. The present is the Reader at the newest timestamp: there is one read path.
//
// Two tables lie in one ordered store (KV):
//
//	live     subgroup, key            -> since, value   the newest value of each key that exists
//	history  subgroup, key, since     -> since, value   superseded values, newest first
//	                                  -> nothing        the key was deleted at since
//
// A change of a key moves the old value from live to history. So reading the present never meets the
// past: a file that was overwritten a million times costs one live record, and a directory with a
// million entries deleted costs a scan nothing but what the store needs to forget them. In front of
// live stands a cache of newest values by key, bounded in bytes, that also remembers absence. Scans
// are not cached. What is not in the cache and lies beyond the greatest key of its table (high) is absent, as keys
// of what is about to be made are, and the store is not asked for it either.
//
//	At(sub, T).Get    cache, else live; if that is later than T: the newest of history at or before T
//	At(sub, T).Scan   live alone if nothing later than T was committed, else live merged with history
//
// A passing key, changed by PutPassing and DeletePassing, has no history: it costs the same however often it
// changes, and the past does not have it.
//
// In front of the store on disk lies a buffer of ordered rows, which it gets in large batches: a row that changes
// with every transaction costs the store little, and one that comes and goes nothing.
//
// The store is not durable by itself. After a crash it holds the effect of a prefix of the committed
// transactions; the owner replays its log from the position that it keeps as a Meta value. Flush
// makes everything durable. Since the store may write out its memory whenever it likes, it calls
// PebbleConfig.BeforeFlush first: the log must be durable as far as the index is about to be, or the
// index would survive a crash with effects of operations that the log lost.
//
// Invariants
//
//	X1  a Tx is atomic: a reader, and a store opened after a crash, shows all of it or nothing.
//	X2  after a crash the store holds a prefix of the sequence of committed transactions.
//	X3  timestamps of one subgroup never decrease from one Writer to the next.
//	X4  a Reader at T shows the state of exactly the commits at T or before, at any time. So once no more
//	    of them can come, it gives the same answers for ever. Of passing keys it shows those that have not
//	    changed since T.
//	X5  history holds a row (key, since) only if live holds nothing for the key or something as late as
//	    since; a row as late as the live one is hidden by it.
//	X6  the cache never shows a value older than the one it showed before, nor one that is not committed.
//	X7  nothing of the store becomes durable before BeforeFlush returned after its commit.
//
// Order of publication in Commit, on which exactness rests: (1) the intent of each subgroup is raised
// to the newest timestamp of the Tx; (2) the store applies live and history rows in one step; (3) the
// cache takes the new values; (4) Newest shows the timestamp. A scan takes its iterator and then
// looks at the intent: if the intent is not beyond T, the iterator cannot have seen anything beyond T.
// A reader that missed the cache fills it only if no commit reached that part of the cache since
// before it asked the store.
//
// One goroutine writes, with one Tx open at a time; readers are many and take no lock that is held
// across a commit. There is no order of locks: none is taken while another is held. An error of
// the store is sticky: Err returns it, Commit fails ever after, and what a Reader answered while Err
// is set must not be used. Package index does not thin out history.
package index
