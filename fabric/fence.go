package fabric

// Fence keeps F5 for one peer: it remembers over which connection each region was first written. The
// zero value is not connected. Implementations of Fabric ask it before each write.
type Fence struct {
	made uint64 // connections so far; each is known by its number
	conn uint64 // the connection that is up; 0 is none
	// first is the number of the connection up at a region's first write, 0 if there was none. It grows
	// by the regions of each view, a few dozen bytes each, and is kept as long as the node lives.
	first map[RegionID]uint64
	// last is the region asked for most recently, and lastFirst its entry: most writes ask again.
	last      RegionID
	lastFirst uint64
	lastKnown bool
}

// Connected starts a new connection.
func (f *Fence) Connected() {
	f.made++
	f.conn = f.made
}

// Disconnected ends the connection.
func (f *Fence) Disconnected() { f.conn = 0 }

// Open reports whether there is a connection.
func (f *Fence) Open() bool { return f.conn != 0 }

// Allows reports whether a write to the region may be sent now (F5).
func (f *Fence) Allows(id RegionID) bool {
	if !f.lastKnown || f.last != id {
		first, ok := f.first[id]
		if !ok {
			if f.first == nil {
				f.first = make(map[RegionID]uint64)
			}
			first = f.conn
			f.first[id] = first
		}
		f.last, f.lastFirst, f.lastKnown = id, first, true
	}
	return f.conn != 0 && f.lastFirst == f.conn
}
