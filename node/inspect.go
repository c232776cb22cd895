package node

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	"dfs/control"
	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
	"dfs/nvm"
	"dfs/objects"
	"dfs/record"
	"dfs/shards"
	"dfs/versionlog"
	"dfs/views"
)

// Inspection is a look at the data directory of a node that does not run. It holds the directory's lock. What the
// node's next start would cut off, a torn end of the log, is cut off by opening it.
type Inspection struct {
	id   whose
	data string
	lock *control.Lock
	vlog *versionlog.Log
}

// Entry is one record of the log.
type Entry struct {
	LSN         versionlog.LSN `json:"lsn"`
	Kind        string         `json:"kind"`
	Version     string         `json:"version,omitempty"`
	Time        hlc.Timestamp  `json:"time,omitempty"`
	Origin      ids.NodeID     `json:"origin,omitempty"`
	Incarnation uint32         `json:"incarnation,omitempty"`
	Counter     uint64         `json:"counter,omitempty"`
	Subgroup    string         `json:"subgroup,omitempty"`
	Operation   string         `json:"operation,omitempty"`
	Data        int            `json:"data,omitempty"` // bytes
}

// Inspect opens the data directory for inspection. With verify, every byte of the log is read and checked;
// errs.Corrupt names file and offset of damage.
func Inspect(data string, verify bool) (*Inspection, error) {
	if _, err := os.Stat(data); err != nil {
		return nil, errs.Wrap(errs.NotFound, err, "open the data directory")
	}
	i := &Inspection{data: data}
	var err error
	if i.id, err = readIdentity(data); err != nil {
		return nil, err
	}
	if i.lock, err = control.TakeLock(data); err != nil {
		return nil, err
	}
	if err := i.openLog(verify); err != nil {
		return nil, errors.Join(err, i.lock.Release())
	}
	return i, nil
}

func (i *Inspection) openLog(verify bool) error {
	dir, err := nvm.OpenOS((&DataDir{Path: i.data}).Segments())
	if err != nil {
		return err
	}
	i.vlog, err = versionlog.Open(versionlog.Config{Dir: dir, VerifyAll: verify})
	return err
}

// Close ends the inspection.
func (i *Inspection) Close() error { return errors.Join(i.vlog.Close(), i.lock.Release()) }

// Whose says whose data it is.
func (i *Inspection) Whose() (node ids.NodeID, cluster string) { return i.id.Node, i.id.Cluster }

// Size returns the bytes on disk that the log takes, and in how many segments.
func (i *Inspection) Size() (bytes int64, segments int) { return i.vlog.Size() }

// Entries calls fn for the records of the log from the position from on, until fn fails.
func (i *Inspection) Entries(from versionlog.LSN, fn func(Entry) error) error {
	return i.vlog.Scan(from, func(lsn versionlog.LSN, r record.Record) error {
		h := r.Header()
		e := Entry{LSN: lsn, Kind: kindName(h.Kind), Data: r.DataLen()}
		if h.Kind == record.Op {
			e.Version, e.Time = h.Version.String(), h.Timestamp
			e.Origin, e.Incarnation, e.Counter = h.Origin, h.Incarnation, h.Counter
			e.Subgroup, e.Operation = subgroupName(h.Subgroup), operationText(h.Subgroup, r.Op())
		}
		return fn(e)
	})
}

func kindName(k record.Kind) string {
	switch k {
	case record.Op:
		return "op"
	case record.View:
		return "view"
	case record.Mark:
		return "mark"
	case record.Copy:
		return "copy"
	}
	return fmt.Sprintf("kind %d", k)
}

// State brings the index up to the end of the log, as a start would, and calls report for everything in the state
// machines that contradicts itself.
func (i *Inspection) State(report func(problem string)) error {
	kv, err := index.OpenPebble((&DataDir{Path: i.data}).Index(), index.PebbleConfig{
		BeforeFlush: func() error { _, err := i.vlog.Sync(); return err },
	})
	if err != nil {
		return err
	}
	x := index.New(kv, index.Config{})
	err = i.replay(x)
	if err == nil {
		namespace.Check(x.At(ids.Namespace, hlc.Latest), report)
		for s := range i.id.Shards {
			objects.Check(x.At(ids.Subgroup(s+1), hlc.Latest), report)
		}
		err = errors.Join(x.Err(), x.Flush())
	}
	return errors.Join(err, x.Close())
}

// replay has an engine recover, which never starts.
func (i *Inspection) replay(x *index.Index) error {
	d := &DataDir{Path: i.data}
	durable, _, err := d.loadView()
	if err != nil {
		return err
	}
	engine, err := shards.New(shards.Config{
		Self: views.Member{Node: i.id.Node}, Nodes: peersOf(i.id.Members), Shards: i.id.Shards, Replicas: i.id.Replicas, Log: i.vlog, Index: x, Durable: durable,
		Physical: func() hlc.Timestamp { return 0 },
	})
	if err != nil {
		return err
	}
	engine.Close()
	return nil
}

// peersOf returns nodes whose addresses do not matter.
func peersOf(nodes []ids.NodeID) []views.Peer {
	var out []views.Peer
	for _, n := range nodes {
		out = append(out, views.Peer{Node: n})
	}
	return out
}

// operationText prints an operation on one line: its name and the fields that are not zero.
func operationText(sub ids.Subgroup, b []byte) string {
	var op any
	var err error
	if sub == ids.Namespace {
		op, err = namespace.Decode(b)
	} else {
		op, err = objects.Decode(b)
	}
	if err != nil {
		return fmt.Sprintf("not understood: %v", err)
	}
	v := reflect.Indirect(reflect.ValueOf(op))
	var out strings.Builder
	out.WriteString(strings.ToLower(v.Type().Name()))
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.IsExported() && !v.Field(i).IsZero() {
			fmt.Fprintf(&out, " %s=%s", strings.ToLower(field.Name), fieldText(v.Field(i)))
		}
	}
	return out.String()
}

// fieldText prints one field; bytes that a terminal would act on are escaped.
func fieldText(v reflect.Value) string {
	const long = 64
	switch {
	case v.Kind() == reflect.String:
		return strconv.Quote(v.String())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		if v.Len() > long {
			return fmt.Sprintf("(%d bytes)", v.Len())
		}
		return strconv.Quote(string(v.Bytes()))
	}
	return strings.ReplaceAll(fmt.Sprintf("%+v", v.Interface()), "\n", " ")
}
