package fusefs

import (
	"log/slog"
	"sync"
	"time"
)

// limiter logs, but not more than a few lines a second: a program that asks for a bad name in a loop must not
// fill the disk.
type limiter struct {
	log *slog.Logger

	mu      sync.Mutex
	second  int64
	count   int
	dropped int
}

const linesPerSecond = 10

func newLimiter(log *slog.Logger) *limiter { return &limiter{log: log} }

func (l *limiter) warn(msg string, args ...any) {
	l.mu.Lock()
	if now := time.Now().Unix(); now != l.second {
		l.second, l.count = now, 0
	}
	if l.count++; l.count > linesPerSecond {
		l.dropped++
		l.mu.Unlock()
		return
	}
	if l.dropped > 0 {
		args = append(args, "dropped", l.dropped)
		l.dropped = 0
	}
	l.mu.Unlock()
	l.log.Warn(msg, args...)
}
