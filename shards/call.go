package shards

import (
	"context"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// Result is what applying an operation answered. It is the same at every replica.
type Result struct {
	Kind      errs.Kind // OK, or why the operation changed nothing
	Body      []byte    // the state machine's answer
	Timestamp hlc.Timestamp
	Version   ids.Version
}

// Call is an operation that was submitted on this node.
type Call struct {
	counter uint64
	done    chan struct{}
	result  Result
	err     error
}

// Done is closed when the operation was delivered here, which means that every member has received
// it, or when the node was closed.
func (c *Call) Done() <-chan struct{} { return c.done }

// Ready reports whether Done is closed.
func (c *Call) Ready() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Wait waits for Done and returns the result. The error is errs.Interrupted when ctx ends first (the
// operation may still happen), errs.Unavailable when the node was closed, errs.IO when there was no majority for
// longer than Config.Soft (the operation may happen later). An operation that failed
// is no error here: its Result says so.
func (c *Call) Wait(ctx context.Context) (Result, error) {
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		return Result{}, errs.Wrap(errs.Interrupted, ctx.Err(), "waiting for an operation")
	}
}

// finish ends the waiting for the call, unless it was given up before. Node.mu is held.
func (c *Call) finish(r Result, err error) {
	if c.Ready() {
		return
	}
	c.result, c.err = r, err
	close(c.done)
}
