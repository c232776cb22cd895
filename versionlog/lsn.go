package versionlog

// LSN is a byte position in the log, over all its segments. Records start at multiples of record.Align.
type LSN uint64
