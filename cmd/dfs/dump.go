package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dfs/node"
	"dfs/versionlog"

	"github.com/spf13/cobra"
)

func newDump(e *env) *cobra.Command {
	dump := &cobra.Command{
		Use:     "dump",
		Short:   "Print what a stopped node keeps",
		Long:    "Print the structures in the data directory of a node that does not run.",
		Example: "  dfs dump log --data /var/lib/dfs",
		RunE:    group,
	}
	dump.AddCommand(newDumpLog(e))
	return dump
}

// errEnough ends a dump that was to be short.
var errEnough = errors.New("enough")

func newDumpLog(e *env) *cobra.Command {
	var data string
	var asJSON bool
	var from uint64
	var count int
	cmd := &cobra.Command{
		Use:   "log --data DIR",
		Short: "Print the log",
		Long: `Print the records of the log in order, one on a line: position, version, time, who sent it (node, start of the node,
number of the operation), subgroup, bytes of data, and the operation. With --json, one object on a line.`,
		Example: `  dfs dump log --data /var/lib/dfs
  dfs dump log --data /var/lib/dfs --json | jq -c 'select(.origin == 2)'`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if data == "" {
				return usageError("for example: "+firstExample(cmd), "dfs dump log needs --data DIR")
			}
			i, err := node.Inspect(data, false)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(e.stdout)
			show := showText
			if asJSON {
				show = showJSON
			}
			err = i.Entries(versionlog.LSN(from), func(entry node.Entry) error {
				if cmd.Context().Err() != nil {
					return cmd.Context().Err()
				}
				if count--; count < 0 {
					return errEnough
				}
				return show(out, entry)
			})
			if errors.Is(err, errEnough) {
				err = nil
			}
			return errors.Join(err, out.Flush(), i.Close())
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object on a line")
	cmd.Flags().Uint64Var(&from, "from", 0, "position of the first record to print")
	cmd.Flags().IntVar(&count, "count", 1<<62, "how many records to print")
	cmd.Flags().Lookup("count").DefValue = "all"
	return cmd
}

func showJSON(w io.Writer, entry node.Entry) error { return json.NewEncoder(w).Encode(entry) }

func showText(w io.Writer, entry node.Entry) error {
	if entry.Version == "" {
		_, err := fmt.Fprintf(w, "%d %s\n", entry.LSN, entry.Kind)
		return err
	}
	_, err := fmt.Fprintf(w, "%d %s %v %d.%d.%d %s, %d bytes: %s\n", entry.LSN, entry.Version, entry.Time,
		entry.Origin, entry.Incarnation, entry.Counter, entry.Subgroup, entry.Data, entry.Operation)
	return err
}
