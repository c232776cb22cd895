package main

import (
	"dfs/advice"
	"dfs/errs"
	"dfs/node"

	"github.com/spf13/cobra"
)

func newCheck(e *env) *cobra.Command {
	var data string
	var logOnly bool
	cmd := &cobra.Command{
		Use:   "check --data DIR",
		Short: "Verify what a stopped node keeps",
		Long: `Read every byte of the log in the data directory of a node that does not run, verify all checksums and the order of
versions and times, bring the index up to date, and check that names, link counts, sizes and extents fit together.

A torn end, as a crash leaves it, is no damage: it is cut off, as the next start would do. Damage before it is reported
with file and offset, and changes nothing; the exit code is 5.`,
		Example: `  dfs check --data /var/lib/dfs
  dfs check --data /tmp/dfs/node1/data --log-only`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" {
				return usageError("for example: "+firstExample(cmd), "dfs check needs --data DIR")
			}
			return e.check(data, logOnly)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory")
	cmd.Flags().BoolVar(&logOnly, "log-only", false, "do not look at the index")
	return cmd
}

func (e *env) check(data string, logOnly bool) (err error) {
	i, err := node.Inspect(data, true)
	if err != nil {
		return err
	}
	defer func() {
		if closing := i.Close(); err == nil {
			err = closing
		}
	}()
	id, cluster := i.Whose()
	e.print("data of node %d of cluster %s\n", id, cluster)
	var records, bytes int64
	var last node.Entry
	err = i.Entries(0, func(entry node.Entry) error {
		records++
		bytes += int64(entry.Data)
		if entry.Version != "" {
			last = entry
		}
		return nil
	})
	if err != nil {
		return err
	}
	size, segments := i.Size()
	e.print("log: %d records with %s of data, %s in %d segments: sound\n", records, bytesText(bytes), bytesText(size), segments)
	if last.Version != "" {
		e.print("log ends with version %s of %v\n", last.Version, last.Time)
	}
	if logOnly {
		return nil
	}
	problems := 0
	if err := i.State(func(problem string) {
		problems++
		e.print("index: %s\n", problem)
	}); err != nil {
		return err
	}
	if problems > 0 {
		err := errs.New(errs.Corrupt, "%d things in the index of %s do not fit together", problems, data)
		return advice.Add(err, "the index can be made anew from the log: remove %s/index and start the node", advice.Quote(data))
	}
	e.print("index: sound\n")
	return nil
}
