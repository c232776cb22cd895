package main

import (
	"context"
	"time"

	"dfs/control"
	"dfs/errs"
	"dfs/ids"
	"dfs/node"

	"github.com/spf13/cobra"
)

func newToken(e *env) *cobra.Command {
	token := &cobra.Command{
		Use:     "token",
		Short:   "Make tokens with which other nodes join",
		Example: "  dfs token create --expires 15m",
		RunE:    group,
	}
	token.AddCommand(newTokenCreate(e))
	return token
}

func newTokenCreate(e *env) *cobra.Command {
	var data string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Print a token that lets one node in",
		Long: `Print a token for dfs join. It lets one node in, once, until it expires, through any node of the cluster that runs then.
Treat it as a password: who has it first is in.`,
		Example: `  dfs token create
  dfs token create --expires 15m --data /var/lib/dfs`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.printToken(cmd.Context(), data, expires, 0)
		},
	}
	tokenFlags(cmd, &data, &expires)
	return cmd
}

func tokenFlags(cmd *cobra.Command, data *string, expires *time.Duration) {
	cmd.Flags().StringVar(data, "data", "", "data directory of the node that is asked (default: the one mounted here)")
	cmd.Flags().DurationVar(expires, "expires", node.DefaultLifetime, "how long the token can be used")
}

// printToken has the node make a token; replace is the number that the new node takes over.
func (e *env) printToken(ctx context.Context, data string, expires time.Duration, replace ids.NodeID) error {
	if expires < time.Second {
		return usageError("for example: --expires 15m", "--expires %v is less than a second", expires)
	}
	resp, err := askNode(ctx, data, control.Request{Command: control.CommandToken, Lifetime: int64(expires / time.Second), Node: replace})
	if err != nil {
		return err
	}
	e.print("%s\n", resp.Token)
	return nil
}

// askNode asks the node of the data directory, or the one that is mounted on this machine.
func askNode(ctx context.Context, data string, req control.Request) (control.Response, error) {
	if data == "" {
		nodes, err := mountedNodes()
		if err != nil {
			return control.Response{}, err
		}
		if len(nodes) > 1 {
			return control.Response{}, usageError("--data "+nodes[0], "%d nodes are mounted here: say which one with --data", len(nodes))
		}
		data = nodes[0]
	}
	return control.Ask(ctx, data, req)
}

// parseNode reads the number of a node.
func parseNode(cmd *cobra.Command, text string) (ids.NodeID, error) {
	id, err := node.ParseID(text)
	if err != nil {
		return 0, usage{errs.Wrap(errs.Invalid, err, "%s", cmd.CommandPath())}
	}
	return id, nil
}
