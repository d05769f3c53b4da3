package stat

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of /proc/stat, a hundredth of a second on all architectures
// that Go runs on (USER_HZ, proc(5)).
const userHZ = 100

// MachineCPU returns the time that all processors have been busy since boot, from
// /proc/stat (proc(5)). Time stolen by a hypervisor does not count; that of guests is in
// user and nice already.
func MachineCPU() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	const user, nice, system, irq, softirq = 1, 2, 3, 6, 7
	if len(fields) <= softirq || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q, want the times of all processors", line)
	}
	ticks := uint64(0)
	for _, i := range []int{user, nice, system, irq, softirq} {
		n, err := strconv.ParseUint(string(fields[i]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHZ), nil
}

// ProcessCPU returns the processor time that processes have used together, including
// that of their threads that have ended. The clock's id is made as
// clock_getcpuclockid(3) does. It is an error if one of the processes does not exist.
func ProcessCPU(pids []int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED: user and system, in ns
	var total time.Duration
	for _, pid := range pids {
		var ts unix.Timespec
		if err := unix.ClockGettime(^int32(pid)<<3|scheduled, &ts); err != nil {
			return 0, fmt.Errorf("read processor time of process %d: %w", pid, err)
		}
		total += time.Duration(ts.Nano())
	}
	return total, nil
}

// ResidentMemory returns the resident set sizes of processes together, in bytes, from
// /proc/PID/statm (proc(5)). It is an error if one of the processes does not exist.
func ResidentMemory(pids []int) (int64, error) {
	var total int64
	for _, pid := range pids {
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0, err
		}
		fields := bytes.Fields(statm)
		if len(fields) < 2 {
			return 0, fmt.Errorf("/proc/%d/statm is %q, want sizes in pages", pid, statm)
		}
		pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/statm: %w", pid, err)
		}
		total += pages * int64(os.Getpagesize())
	}
	return total, nil
}

// PinnedMemory returns the memory of processes that the kernel may not page out, in bytes: what
// is locked, and the buffers that are registered with an io_uring (VmLck and VmPin of
// /proc/PID/status, proc(5)). It is an error if one of the processes does not exist.
func PinnedMemory(pids []int) (int64, error) {
	var total int64
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		for line := range bytes.Lines(status) {
			key, value, _ := bytes.Cut(line, []byte(":"))
			if string(key) != "VmLck" && string(key) != "VmPin" {
				continue
			}
			kib, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/status has the line %q: %w", pid, line, err)
			}
			total += kib << 10
		}
	}
	return total, nil
}
