package mutants

// mutant is a bug.
type mutant struct {
	name  string
	by    string // who catches it: simulation, or a package and a pattern of its tests
	edits []edit
}

// edit replaces a text that occurs once in a file.
type edit struct{ file, old, new string }

// simulation stands for the seeds of tests/sim.
const simulation = "simulation"

// one makes a mutant of a single edit.
func one(name, by, file, old, new string) mutant {
	return mutant{name, by, []edit{{file, old, new}}}
}

// table holds all mutants; those of the change of views have a file of their own.
var table = append(engine, membership...)

// engine holds what is not of views.
var engine = []mutant{
	// Order and stability.
	one("deliver what is not stable", simulation, "multicast/deliver.go",
		"m.stable = min(m.stable, s.Get(g.members[j].rank, g.col.received[i]))", "_ = j"),
	one("deliver before all positions are known", simulation, "multicast/deliver.go",
		"head == none || head >= known || head/n >= m.stable", "head == none || head/n >= m.stable"),
	one("deliver in the order of senders", simulation, "multicast/deliver.go",
		"if h := g.members[i].head; h < head {", "if h := g.members[i].head; head == none {"),
	one("reuse the ring before others have logged", simulation, "multicast/publish.go",
		"if e.index*n+uint64(g.place) >= g.elsewhere {", "if n == 0 {"),
	one("give up too few slots", simulation, "multicast/publish.go",
		"want = max(want, sent)", "want = max(want, sent-min(sent, 1))"),
	one("give up a slot for every null", "./multicast .", "multicast/publish.go",
		"want = max(want, sent-1)", "want = max(want, sent)"),
	one("push the row before the bytes", simulation, "shards/step.go",
		"n.write(v, o, eff.Writes)\n\t\tn.push(v)", "n.push(v)\n\t\tn.write(v, o, eff.Writes)"),
	one("acknowledge without a word to who keeps what was shown", simulation, "shards/announce.go",
		"o.mc.Arrived(func(_ ids.Rank, r record.Record) { n.onAck(r.Subgroup(), r.Op()) })", ""),
	one("publish without a word to who keeps what was shown", simulation, "shards/announce.go",
		"o.mc.Published(func(r record.Record) { n.onAck(r.Subgroup(), r.Op()) })", ""),
	one("vouch for longer than the lease", simulation, "shards/announce.go",
		"time.Duration(n.lease.Load())-n.cfg.Monotonic())", "time.Duration(n.lease.Load())+n.cfg.LeaseFor-n.cfg.Monotonic())"),
	one("send only the first part of what wraps around the ring", simulation, "shards/rings.go",
		"for _, w := range ranges {\n\t\t\t\tn.fab", "for _, w := range ranges[:1] {\n\t\t\t\tn.fab"),
	one("take no room for what was given back", simulation, "shards/step.go",
		"if room {\n\t\tn.openRoomLocked()\n\t}", "_ = room"),

	// Time.
	one("timestamp from the local clock", simulation, "multicast/deliver.go",
		"t := max(e.time, g.timestamp+1)", "t := max(g.clock.Last(), g.timestamp+1)"),
	one("timestamps that only do not decrease", simulation, "multicast/deliver.go",
		"t := max(e.time, g.timestamp+1)", "t := max(e.time, g.timestamp)"),
	one("frontier promised too high", simulation, "multicast/frontier.go",
		"if g.promise(g.clock.Last()) {", "if g.promise(g.clock.Last() + 30_000_000) {"),
	one("time frontier that forgets what is in the rings", simulation, "multicast/frontier.go",
		"if m.q.logged < m.q.last {", "if m.q.logged > m.q.last {"),
	one("the past without waiting for the frontier", simulation, "shards/pending.go",
		"if !o.unchanging(t) {", "if t < 0 {"),
	one("the moment answered about is forgotten", simulation, "shards/node.go",
		"n.clock.Observe(n.cfg.Floor)\n\tn.floor = n.cfg.Floor\n", ""),
	one("a view forgets what its members have answered", simulation, "shards/view.go",
		"after := view.Floor", "after := min(0, view.Floor)"),
	one("nobody is asked for the frontier", simulation, "shards/wait.go",
		"o.mc.WantFrontier(t)", ""),
	one("the own promise is noticed with the next heartbeat", simulation, "shards/wait.go",
		"o.frontier.Store(max(o.frontier.Load(), int64(o.mc.TimeFrontier())))", ""),

	// Reads and waiting.
	one("the present without waiting", simulation, "shards/pending.go",
		"if acked := o.acked.Load(); o.reached.Load() < acked {", "if acked := o.acked.Load(); acked < 0+0*acked {"),
	one("a submission wakes nobody", simulation, "shards/submit.go",
		"n.mu.Unlock()\n\tn.notify()\n\treturn call, nil, nil", "n.mu.Unlock()\n\treturn call, nil, nil"),
	one("a waiter wakes nobody", simulation, "shards/wait.go",
		"n.mu.Unlock()\n\tn.notify()\n\treturn nil", "n.mu.Unlock()\n\treturn nil"),
	one("nobody is asked to persist", simulation, "shards/wait.go",
		"if seq := n.seqHere(o) + multicast.Seq(pending); seq > 0 {\n\t\t\t\to.mc.WantPersisted(seq)", "if seq := n.seqHere(o); seq > 0 {"),

	// Durability.
	one("everything appended counts as persisted when a sync ends", simulation, "shards/step.go",
		"o.unsynced.front().end <= lsn", "o.unsynced.front().end >= 0"),
	one("Sync waits for this node alone", simulation, "multicast/frontier.go",
		"return min(g.persistedElsewhere, Seq(g.table.Get(g.col.persisted)))", "return Seq(g.table.Get(g.col.persisted))"),
	one("a failed sync is no matter", simulation, "shards/step.go",
		"n.fail(errs.Wrap(errs.KindOf(err), err, \"syncing the log\"))\n\t\treturn\n", "err = errs.OK\n"),
	one("the log is not persisted", simulation, "versionlog/sync.go",
		"if err := active.Persist(); err != nil {", "if err := error(nil); err != nil {"),
	one("full segments are not persisted", simulation, "versionlog/sync.go",
		"if err := f.Persist(); err != nil {", "if err := error(nil); f == nil {"),
	one("new segments are not made durable in the directory", simulation, "versionlog/sync.go",
		"if names {", "if names && l == nil {"),
	one("the mark is written before the sync", simulation, "versionlog/sync.go",
		"if active != nil {\n", "if err := l.mark.write(end); err != nil {\n\t\treturn err\n\t}\n\tif active != nil {\n"),
	one("what a failed sync left is not written again", simulation, "versionlog/open.go",
		"for off := from; off < to; off += scanAhead {", "for off := max(from, to); off < to; off += scanAhead {"),
	one("a torn tail is not wiped out", "./versionlog .", "versionlog/open.go",
		"r.torn && off != 0", "r.torn && off < 0"),
	one("recovery believes data without its sums", simulation, "versionlog/segment.go",
		"err = r.VerifyData()", "err = nil"),
	one("reads believe data without its sums", "./versionlog .", "versionlog/read.go",
		"got != h.sums[i] {", "got != h.sums[i] && got == 0 {"),
	one("what a failed append left is not wiped out", "./versionlog .", "versionlog/log.go",
		"if err == nil && spoiled > end {", "if err == nil && spoiled > end && end < 0 {"),
	one("a cut begins before it is durable that it has", "./versionlog TestCutAndCrash", "versionlog/cut.go",
		"f.WriteAt(0, b), f.Persist(), f.Close()", "f.WriteAt(0, b), f.Close()"),
	one("the name of a cut is not made durable", "./versionlog TestCutAndCrash", "versionlog/cut.go",
		"f.Close(), cfg.Dir.Sync())", "f.Close())"),
	one("the mark of a cut is not persisted", "./versionlog TestCutAndCrash", "versionlog/cut.go",
		"m.f.Persist(), m.f.Close(), dir.Sync())", "m.f.Close(), dir.Sync())"),
	one("the segments that a cut removes may come back", "./versionlog TestCutAndCrash", "versionlog/cut.go",
		"m.f.Persist(), m.f.Close(), dir.Sync())", "m.f.Persist(), m.f.Close())"),
	one("what is wiped out is not persisted", "./versionlog TestCutAndCrash", "versionlog/log.go",
		"return f.Persist()", "return nil"),
	one("files that a failed append left may come back", "./versionlog TestNextSegmentFindsNoSpace", "versionlog/log.go",
		"if err := l.dir.Sync(); err != nil {", "if err := error(nil); err != nil {"),
	one("segments that recovery removed may come back", "./versionlog TestOpenAfterFailedSync", "versionlog/open.go",
		"if err := l.dir.Sync(); err != nil {", "if err := error(nil); err != nil {"),
	one("what recovery wrote is not persisted", "./versionlog TestCrashAtEveryOperation", "versionlog/open.go",
		"_, err = l.Sync()", "err = nil"),
	one("what is repaired is not persisted", "./versionlog TestRepair", "versionlog/repair.go",
		"f.WriteAt(at, data), f.Persist(), f.Close()", "f.WriteAt(at, data), f.Close()"),
	one("the mark is not persisted behind a full segment", "./versionlog TestGolden", "versionlog/sync.go",
		"return l.mark.f.Persist()", "return nil"),
	one("the mark is not persisted by Close", "./versionlog TestGolden", "versionlog/sync.go",
		"err = l.mark.f.Persist()", "err = nil"),

	// Links.
	{"words of a row are not sent though the memory is another", "./fabric/verbs TestRowsAreSentOnce", []edit{
		{"fabric/verbs/link.go", "l.directory[n.id] = n\n\t\tdelete(l.rows, n.id)", "l.directory[n.id] = n"},
		{"fabric/verbs/link.go", "delete(l.directory, n.id)\n\t\tdelete(l.rows, n.id)", "delete(l.directory, n.id)"},
	}},
	one("words of a row are not sent though something was written across it", "./fabric/verbs TestRowsAreSentOnce", "fabric/verbs/row.go",
		"delete(l.rows, o.region)", "_ = size"),
	one("a source is deregistered while it is being sent", "./fabric/verbs TestSourceReleased", "fabric/verbs/link.go",
		"l.leaving[0].until <= l.freed", "l.leaving[0].until > 0"),

	// Persistent memory.
	one("a write ends in no fence", "./versionlog TestStoreOrder", "nvm/dax.go",
		"f.flush(open)\n\t\tf.fl.fence()", "f.flush(open)"),
	one("a write ends with a line that is not flushed", "./nvm TestDAXOrder", "nvm/dax.go",
		"f.flush(open)\n\t\tf.fl.fence()", "f.fl.fence()"),
	one("the fence comes before the flush", "./nvm TestDAXOrder", "nvm/dax.go",
		"f.flush(open)\n\t\tf.fl.fence()", "f.fl.fence()\n\t\tf.flush(open)"),
	one("a line that is left is not flushed", "./nvm TestDAXOrder", "nvm/dax.go",
		"f.flush(open)\n\t\t\t\topen = off / line", "open = off / line"),
	one("whole lines go through the cache, and nobody flushes them", "./versionlog TestStoreOrder", "nvm/dax.go",
		"f.fl.stream(f.mem", "f.fl.store(f.mem"),

	one("a full log is tried again at once", simulation, "shards/step.go",
		"eff.More && len(o.stalled) == 0", "eff.More"),

	// State and history.
	one("an operation that comes again is applied again", "./tests/sim TestRepeated", "shards/deliver.go",
		"h.Incarnation == seen.incarnation && h.Counter <= seen.counter", "false"),
	one("what was applied of each node is forgotten", "./tests/sim TestRepeated", "shards/deliver.go",
		"tx.SetMeta(originKey(node), ", "tx.SetMeta(\"\", "),
	one("nothing is replayed", simulation, "shards/deliver.go",
		"err := n.cfg.Log.Heads(n.applied.next, ", "err := n.cfg.Log.Heads(n.cfg.Log.End(), "),
	one("superseded values are forgotten", simulation, "index/writer.go",
		"if old != nil && old.since() < w.tag {", "if old != nil && old.since() < 0 {"),
	one("deletions are forgotten", simulation, "index/writer.go",
		"t.out = append(w.t.out, Change{Key: w.historyKey(key, w.tag)})", "t.out = w.t.out[:]"),
	one("the cache keeps what was superseded", simulation, "index/tx.go",
		"t.x.cache.publish(live, p.row, p.since)", ""),
	one("scans of the past show the present", simulation, "index/reader.go",
		"return hlc.Timestamp(v.sub.intent.Load()) <= v.at", "return hlc.Timestamp(v.sub.intent.Load()) <= hlc.Latest"),
}
