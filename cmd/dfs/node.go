package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"dfs/errs"
	"dfs/ids"
	"dfs/node"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const nodeHelp = `Run one node of a cluster in the foreground, until SIGINT or SIGTERM.

The data directory that dfs init or dfs join has made has its configuration in it: dfs node --data DIR is all there is to
say. Otherwise the configuration comes from a file, from flags, or both: a flag wins over the file. A complete file:

  cluster = "photos"           # the same on all nodes
  id = 1                       # this node's number, never given to another
  listen = "10.0.0.1:7940"     # for the other nodes
  data = "/var/lib/dfs"        # log and index
  mount = "/mnt/dfs"           # leave out for a replica without a mount
  shards = 4                   # data shards; fixed when the data directory is made
  consistency = "causal"       # or "strict": write() waits until every node has it
  allow_other = true           # other users may use the mount; the default when root mounts
  soft = "30s"                # calls fail with EIO when most nodes are missing for so long; without it they wait
  suid = false                 # honour set-user-id bits in the mount; only root may
  dev = false                  # honour device nodes in the mount; only root may
  max_clock_skew = "500ms"     # nodes whose clocks differ by more refuse each other
  memory = "384MiB"            # soft limit of this process
  log_level = "info"           # debug, info, warn, error
  insecure = true              # links to other machines in the clear: only where certificates are not wanted
  fabric = "auto"              # over RDMA where both ends can; "verbs": only so; "tcp": never
  rdma_device = "mlx5_0"       # the RDMA adapter, where the first that fits is not meant

  [peers]                      # all other nodes, where dfs init and dfs join were not used
  2 = "10.0.0.2:7940"
  3 = "10.0.0.3:7940"`

func newNode(e *env) *cobra.Command {
	var file string
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run one node of a cluster",
		Long:  nodeHelp,
		Example: `  dfs node --data /var/lib/dfs
  dfs node --config /etc/dfs.toml
  dfs node --id 1 --listen 127.0.0.1:7941 --peer 2=127.0.0.1:7942 --peer 3=127.0.0.1:7943 --data /var/lib/dfs --mount /mnt/dfs`,
		Args: needArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c node.Config
			if file == "" && !cmd.Flags().Changed("data") {
				return usageError("for example: "+firstExample(cmd), "dfs node needs --data DIRECTORY or --config FILE")
			}
			if own := filepath.Join(flags.config.Data, node.ConfigName); file == "" {
				if _, err := os.Stat(own); err == nil {
					file = own
				} else if !cmd.Flags().Changed("id") && !node.IsDataDir(flags.config.Data) {
					return usageError("dfs init and dfs join make one; --id says that a new one is wanted here",
						"there is no node in data directory %s", flags.config.Data)
				}
			}
			if file != "" {
				var err error
				if c, err = node.ReadConfig(file); err != nil {
					return usage{err}
				}
			}
			if err := flags.apply(cmd.Flags(), &c); err != nil {
				return err
			}
			return e.serve(cmd.Context(), c, "")
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `file` (TOML; default: node.toml in the data directory, if there is one)")
	flags.register(cmd.Flags())
	cmd.AddCommand(newNodeLeave(e), newNodeRemove(e), newNodeReplace(e), newNodeMove(e))
	return cmd
}

// nodeFlags are the settings that can be given as flags.
type nodeFlags struct {
	config node.Config
	id     uint32
	peers  []string
}

func (f *nodeFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.config.Cluster, "cluster", "", "name of the cluster")
	set.Uint32Var(&f.id, "id", 0, "number of this node, from 1")
	set.StringVar(&f.config.Listen, "listen", "", "`host:port` for the other nodes")
	set.StringArrayVar(&f.peers, "peer", nil, "another node, as `id=host:port`; once for each")
	set.StringVar(&f.config.Data, "data", "", "data directory")
	set.StringVar(&f.config.Mount, "mount", "", "mount point")
	set.IntVar(&f.config.Shards, "shards", 0, "number of data shards, for a new data directory")
	set.IntVar(&f.config.Replicas, "replicas", 0, "number of nodes that keep the data of a shard, for a new data directory")
	set.StringVar(&f.config.Consistency, "consistency", "", "causal or strict")
	set.BoolVar(&f.config.Insecure, "insecure", false, "talk to nodes on other machines in the clear")
	set.StringVar(&f.config.LogLevel, "log-level", "", "debug, info, warn or error")
}

// apply puts the flags that were given over the configuration.
func (f *nodeFlags) apply(set *pflag.FlagSet, c *node.Config) error {
	for name, field := range map[string]struct{ from, to *string }{
		"cluster": {&f.config.Cluster, &c.Cluster}, "listen": {&f.config.Listen, &c.Listen},
		"data": {&f.config.Data, &c.Data}, "mount": {&f.config.Mount, &c.Mount},
		"consistency": {&f.config.Consistency, &c.Consistency}, "log-level": {&f.config.LogLevel, &c.LogLevel},
	} {
		if set.Changed(name) {
			*field.to = *field.from
		}
	}
	if set.Changed("id") {
		c.ID = ids.NodeID(f.id)
	}
	if set.Changed("shards") {
		c.Shards = f.config.Shards
	}
	if set.Changed("replicas") {
		c.Replicas = f.config.Replicas
	}
	if set.Changed("insecure") {
		c.Insecure = f.config.Insecure
	}
	if set.Changed("peer") {
		c.Peers = map[string]string{}
	}
	for _, p := range f.peers {
		id, address, ok := strings.Cut(p, "=")
		if !ok {
			return usageError("for example: --peer 2=10.0.0.2:7940", "--peer %q is not id=host:port", p)
		}
		c.Peers[id] = address
	}
	return nil
}

// serve runs a node until ctx ends, which is how it is meant to end.
func (e *env) serve(ctx context.Context, c node.Config, howToStop string) error {
	ready := false
	options := node.Options{
		Program: programVersion(),
		Logger: func(level slog.Level) *slog.Logger {
			return slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: level}))
		},
		Ready: func(c node.Config) {
			ready = true
			switch {
			case c.Mount == "":
				e.say("node %d serves, data in %s", c.ID, c.Data)
			case howToStop != "":
				e.say("%s is mounted, data in %s; %s", c.Mount, c.Data, howToStop)
			default:
				e.say("node %d serves %s, data in %s", c.ID, c.Mount, c.Data)
			}
		},
	}
	err := node.Run(ctx, c, options)
	if err != nil && !ready && !errors.Is(err, errs.Interrupted) {
		return refused{err}
	}
	return err
}
