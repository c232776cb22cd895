package main

import (
	"context"

	"dfs/advice"
	"dfs/control"
	"dfs/errs"

	"github.com/spf13/cobra"
)

func newScrub(e *env) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "scrub",
		Short: "Verify what a running node keeps, and repair it from the others",
		Long: `Have a running node read its whole log and verify all checksums. Data that is damaged is written again from another node's
copy. What cannot be repaired is reported with file and offset; the exit code is 5 then.

It reads as fast as the disk allows, and can be interrupted at any time.`,
		Example: `  dfs scrub
  dfs scrub --data /var/lib/dfs`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return e.scrub(cmd.Context(), data) },
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory of the node (default: the one mounted here)")
	return cmd
}

func (e *env) scrub(ctx context.Context, data string) error {
	var sum control.Scrub
	for !sum.Done {
		resp, err := askNode(ctx, data, control.Request{Command: control.CommandScrub, From: sum.Next})
		if err != nil {
			return err
		}
		s := resp.Scrub
		if s == nil || !s.Done && s.Next <= sum.Next {
			return errs.New(errs.Invalid, "the node's answer makes no sense")
		}
		sum.Next, sum.Done = s.Next, s.Done
		sum.Records, sum.Bytes, sum.Repaired = sum.Records+s.Records, sum.Bytes+s.Bytes, sum.Repaired+s.Repaired
		sum.Damaged = append(sum.Damaged, s.Damaged...)
	}
	e.print("%d records verified, %d repaired\n", sum.Records, sum.Repaired)
	if len(sum.Damaged) == 0 {
		return nil
	}
	for _, d := range sum.Damaged {
		e.print("damaged: %s\n", d)
	}
	err := errs.New(errs.Corrupt, "the log is damaged where it could not be repaired")
	return advice.Add(err, "stop the node, move its data directory away, and start it again: it gets everything from the others")
}
