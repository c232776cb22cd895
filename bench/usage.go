package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is how long this process has computed so far, in user and kernel.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tick is what the kernel counts CPU time of other processes in.
const tick = time.Second / 100

// cpuTimeOf is how long other processes have computed so far, those that are gone left out.
func cpuTimeOf(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The name, which may have spaces, ends with the last parenthesis; user and system time are fields 14 and 15.
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		for _, i := range []int{14 - 3, 15 - 3} {
			if i < len(fields) {
				n, _ := strconv.Atoi(string(fields[i]))
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}
