// Package errs holds the kinds of operating errors that dfs knows. A Kind travels over the wire and in
// the results of operations as its number; the mount turns it into an errno in one table.
//
// An operating error is something that a user, a disk or a peer can cause. A broken invariant is not
// an error: it panics where it is found, with its number.
//
// Invariants
//
//	E1  the number of a Kind never changes and is never used again: it is in logs on disk.
//	E2  every error that leaves a package of dfs has a Kind; what has none counts as IO.
//
// To make an error use New or Wrap; to decide on one use KindOf or errors.Is with a Kind. Never decide
// on an error's text.
package errs
