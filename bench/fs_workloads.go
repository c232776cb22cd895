package bench

// workload is something that programs do.
type workload struct {
	name, unit string
	needs      []string // workloads that leave what this one works on
	fn         func(r *run) error
}

const (
	mebibytes = "MiB/s"
	perSecond = "/s"
)

// workloads are all, in the order in which they run: later ones use what earlier ones left.
var workloads = []workload{
	{"sequential write + fsync", mebibytes, nil, seqWrite},
	{"sequential read, cold", mebibytes, []string{"sequential write + fsync"}, seqReadCold},
	{"sequential read, warm", mebibytes, []string{"sequential write + fsync", "sequential read, cold"}, seqReadWarm},
	{"sequential read, cold, other mount", mebibytes, []string{"sequential write + fsync"}, seqReadOther},
	{"4 KiB random write + fsync", perSecond, []string{"sequential write + fsync"}, randomWriteSync},
	{"4 KiB append + fsync", perSecond, nil, appendSync},
	{"4 KiB random write, one fsync", perSecond, []string{"sequential write + fsync"}, randomWrite},
	{"4 KiB random read, cold", perSecond, []string{"sequential write + fsync"}, randomRead},
	{"create + write 4 KiB + close", perSecond, nil, createOne},
	{"create, 4 threads", perSecond, nil, createFour},
	{"stat", perSecond, []string{"create + write 4 KiB + close"}, statAll},
	{"read 4 KiB files", perSecond, []string{"create + write 4 KiB + close"}, readSmall},
	{"read 4 KiB files, other mount", perSecond, []string{"create + write 4 KiB + close"}, readSmallOther},
	{"rename", perSecond, []string{"create + write 4 KiB + close"}, renameAll},
	{"unlink", perSecond, []string{"create + write 4 KiB + close", "rename"}, unlinkAll},
	{"mkdir", perSecond, nil, mkdirAll},
	{"open + write 4 KiB + close of one file", perSecond, nil, rewrite},
	{"close to seen on another mount", perSecond, nil, closeToSeen},
	{"ping-pong between two mounts", perSecond, nil, pingPong},
	{"three writers", mebibytes, nil, threeWriters},
}
