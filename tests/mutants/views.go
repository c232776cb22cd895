package mutants

// agreement stands for the random walks and the search of the views alone.
const agreement = "./views ."

// membership holds the bugs of the change of views.
var membership = []mutant{
	// What a node promises.
	one("a promise is not persisted", "./views TestPromise", "views/follow.go",
		"c.durable.Promised = b\n\tc.persist()", "c.durable.Promised = b"),
	one("what was accepted is not persisted", agreement, "views/follow.go",
		"c.durable.Accepted = p\n\tc.persist()", "c.durable.Accepted = p"),
	one("a lower ballot is promised to", "./views TestPromise", "views/follow.go",
		"b.Compare(c.durable.Promised) <= 0 || ", ""),
	one("a proposal of a ballot below the promised one is accepted", agreement, "views/follow.go",
		"c.phase != promised || p.Ballot != c.ballot ||", "c.phase == active ||"),
	one("what may have been decided is not taken up", agreement, "views/lead.go",
		"a != nil && a.View.ID == base.ID+1 &&", "a != nil && a.View.ID == base.ID &&"),
	one("an accepted proposal is not reported", agreement, "views/follow.go",
		"survivor: c.holds, accepted: c.durable.Accepted,", "survivor: c.holds,"),
	one("half of the nodes decide", agreement, "views/view.go",
		"return count >= v.Majority()", "return count >= len(v.Nodes)/2"),
	one("decided before everyone has accepted", agreement, "views/lead.go",
		"if len(l.accepted) == len(l.basis) && !l.decided {", "if !l.decided {"),
	one("a ballot counts those who began anew", agreement, "views/core.go",
		"return s.member != c.durable.View.Members[rank] || !s.active && s.attempt > c.spent[rank]", "return false"),

	// Where a view ends.
	one("trim by the maximum", "./views TestTrim", "views/lead.go",
		"t.Upto[g][r] = min(t.Upto[g][r], received[g][r])", "t.Upto[g][r] = max(t.Upto[g][r], received[g][r])"),
	one("a leader computes the trim anew", agreement, "views/lead.go",
		"p.View, p.Trim = chosen.View, chosen.Trim", "p.View, p.Trim = chosen.View, l.leastReceived(&base)"),
	one("the trim is what this node has received", simulation, "multicast/wedge.go",
		"m.stable, m.limit = trim[i], trim[i]", "m.stable, m.limit = m.received, m.received"),
	one("the rings of survivors are not asked", simulation, "views/lead.go",
		"r.survivor && r.view.ID == base.ID {", "r.survivor && r.view.ID == 0 {"),
	one("a survivor says that it has received nothing", simulation, "views/follow.go",
		"r.received = c.recv", "r.received = lower(nil, 0, c.recv).Upto\n\t\tfor _, row := range r.received {\n\t\t\tclear(row)\n\t\t}"),
	one("what a survivor lacks of a trim is passed over", "./multicast TestScripts", "multicast/wedge.go",
		"if m.received < trim[i] {", "if m.received > trim[i] {"),
	one("what was not delivered stays to be delivered in the next view", "./shards TestBetweenViews", "shards/view.go",
		"o.stalled = nil // it was fetched, or is sent again", "_ = o.stalled"),
	one("what the log had no room for is forgotten", "./shards TestNoRoomAtTheEnd", "shards/view.go",
		"if d.Sender == n.view.rank {", "if d.Sender < 0 {"),

	// The next view.
	one("the log goes on without data that is not here", agreement, "views/lead.go",
		" && c.dataIsHere(p, r.end) {", " {"),
	one("who was left out of the last view that was open decides", agreement, "views/lead.go",
		"return r.view.ID >= l.opened && ", "return "),
	one("who has lost its disk speaks for a view that never opened", agreement, "views/lead.go",
		"r.view.ID >= v || r.view.ID == 0 {", "r.view.ID >= v {"),
	one("the data of a shard is with no member", agreement, "views/lead.go",
		"if same && c.keptBy(l.proposal.View.settled(), in) {", "_ = in\n\tif same {"),
	one("commit when one is ready", agreement, "views/lead.go",
		"!ok && (l.knows(n) || l.proposal.View.Rank(n) >= 0) {", "!ok && len(l.ready) == 0 {"),
	one("open before the others have installed", agreement, "views/follow.go",
		"j.instance != m.Incarnation {\n\t\t\treturn", "j.instance != m.Incarnation {\n\t\t\tcontinue"),
	{"a wedged member goes on", simulation, []edit{
		{"shards/view.go", "v.open, n.opening = false, false\n", "n.opening = false\n"},
		{"multicast/group.go", "if g.wedged || g.err != nil {", "if g.err != nil {"},
	}},
	one("what was not delivered is not sent again", simulation, "shards/view.go",
		"o.unsent = append(o.unsent, append(record.Record(nil), r...))", "_ = append(record.Record(nil), r...)"),
	one("what was not delivered is sent again behind what is new", simulation, "shards/view.go",
		"for _, r := range o.unsent {", "for i := range o.unsent {\n\t\t\tr := o.unsent[len(o.unsent)-1-i]"),
	one("what was fetched is sent again", simulation, "shards/view.go",
		"if own.incarnation == h.Incarnation && h.Counter <= own.counter {", "if own.incarnation != own.incarnation {"),

	// Leases.
	one("a view opens at once", simulation, "shards/peers.go",
		"if n.opening && n.cfg.Monotonic() >= n.openAfter(n.view) {", "if n.opening {"),
	one("the lease goes on between two views", "./shards TestBetweenViews", "shards/view.go",
		"n.lease.Store(0) // what is applied now must not be seen before the next view is open", ""),
	one("the present is read without a lease", simulation, "shards/peers.go",
		"return int64(n.cfg.Monotonic()) < n.lease.Load()", "return n.view != nil"),
	one("one answer too few makes a lease", simulation, "shards/peers.go",
		"need := len(v.Nodes) - v.Majority()", "need := len(v.Nodes) - v.Majority() - 1"),
	one("what is delivered counts as durable when a view is installed", simulation, "shards/view.go",
		"after = max(after, o.timeNow())", "after = max(after, o.timeNow())\n\t\to.setDurable(ids.MakeVersion(view.ID, 1<<30))"),

	// Fetching.
	one("catching up skips a record", simulation, "shards/fetch.go",
		"if h.Version <= q.after {", "if h.Version <= q.after+1 {"),
	one("what was caught up is not synced", simulation, "shards/fetch.go",
		"case !n.syncNow():", "case false:"),
	one("a reply to another request is taken", simulation, "shards/fetch.go",
		"f == nil || f.order == len(n.orders) || f.source != from || le.Uint64(b) != f.number || int(le.Uint16(b[8:])) != f.order ||\n\t\tids.Version(le.Uint64(b[10:])) != n.orders[f.order].last {", "f == nil || f.order == len(n.orders) || int(le.Uint16(b[8:])) != f.order {"),
	one("a log that goes on differently is not cut", simulation, "shards/fetch.go",
		"if common != q.after {\n\t\t*kind", "if common > q.after {\n\t\t*kind"),
	one("a log is cut too far", simulation, "shards/fetch.go",
		"msg = le.AppendUint64(msg, uint64(common))", "msg = le.AppendUint64(msg, uint64(common-min(common, 1)))"),
	one("who is to cut its log is taken for one that was served", "./shards TestCutAgain", "shards/fetch.go",
		"\t} else {\n\t\tn.served[q.peer] = next\n\t}", "\t}\n\tn.served[q.peer] = next"),
	one("each life numbers its reads from the first", "./shards TestLateAnswer", "shards/node.go",
		"n.readNumber = uint64(n.cfg.Self.Incarnation) << 32", "n.readNumber = 0"),

	// The life of others.
	one("silence is counted while this node was held up", "./shards TestSilence", "shards/peers.go",
		"passed = min(passed, n.cfg.Heartbeat)", ""),
	one("a silent link is not given up", "./shards TestSilence", "shards/peers.go",
		"n.fab.Sever(p, errs.New(errs.Unavailable, \"no sign of life of node %d for %v\", p, n.cfg.SuspectAfter))",
		"_ = errs.New(errs.Unavailable, \"\")"),
}
