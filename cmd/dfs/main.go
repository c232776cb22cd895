// Command dfs is the replicated filesystem with a past: it runs nodes, looks at them, and checks what they keep.
//
// One file per command; run.go holds what they share: how errors are said and which exit codes they have.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one is not caught any more and ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
