package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage figures come from /proc. Where it is missing, or another user's, they
// are left out.

// ticksPerSecond is the unit of CPU times in /proc, fixed by the kernel's
// interface on every platform that Go runs on.
const ticksPerSecond = 100

// usage is what was used so far.
type usage struct {
	at       time.Time
	server   float64 // CPU seconds of the server; -1: not known
	client   float64 // of this process
	database float64 // of the database below the server; -1: not known
	machine  float64 // of everything that runs; -1: not known
	written  int64   // bytes that the server has given to its disks; -1: not known
}

// usageNow reads the meters. pids are the server's; 0: not known.
func usageNow(pids ...int) usage {
	u := usage{at: now(), client: ownCPU(), database: -1, machine: machineCPU()}
	for _, pid := range pids {
		u.server = plus(u.server, processCPU(pid))
		u.written = plus(u.written, bytesWritten(pid))
	}
	return u
}

// plus adds what is known: neither is below 0.
func plus[N int64 | float64](a, b N) N {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

func ownCPU() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}

func processCPU(pid int) float64 {
	fields := statOf(pid)
	if fields == nil {
		return -1
	}
	return seconds(fields[statUser]) + seconds(fields[statSystem])
}

// familyCPU is what a process and its children have used, also those that
// have ended.
func familyCPU(pid int) float64 {
	fields := statOf(pid)
	if fields == nil {
		return -1
	}
	sum := 0.0
	for i := statUser; i <= statEndedSystem; i++ {
		sum += seconds(fields[i])
	}
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, dir := range all {
		child, _ := strconv.Atoi(filepath.Base(dir)) // a number, by the pattern
		if f := statOf(child); f != nil && f[statParent] == strconv.Itoa(pid) {
			sum += seconds(f[statUser]) + seconds(f[statSystem])
		}
	}
	return sum
}

// The fields of /proc/pid/stat behind the name that are read here.
const (
	statParent      = 1
	statUser        = 11
	statSystem      = 12
	statEndedSystem = 14 // of the children that have ended; their user time is before it
)

// statOf reads /proc/pid/stat behind the name; nil if it cannot.
func statOf(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The name, in brackets, may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= statEndedSystem {
		return nil
	}
	return fields
}

// machineCPU counts the time stolen by other machines of the host too.
func machineCPU() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return -1
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	const first, idle, waiting, guest = 1, 4, 5, 9 // guests are counted in the first field already
	sum := 0.0
	for i := first; i < min(guest, len(fields)); i++ {
		if i != idle && i != waiting {
			sum += seconds(fields[i])
		}
	}
	return sum
}

func seconds(ticks string) float64 {
	n, _ := strconv.ParseInt(ticks, 10, 64) // a kernel's number
	return float64(n) / ticksPerSecond
}

func bytesWritten(pid int) int64 {
	return procNumber(fmt.Sprintf("/proc/%d/io", pid), "write_bytes:")
}

// Memory is what a server had resident, in bytes.
type Memory struct{ Resident, Peak int64 }

func memoryOf(pid int) Memory {
	const unit = 1 << 10
	file := fmt.Sprintf("/proc/%d/status", pid)
	return Memory{Resident: procNumber(file, "VmRSS:") * unit, Peak: procNumber(file, "VmHWM:") * unit}
}

// procNumber reads a line's number from a file of names and numbers; -1 if
// there is none.
func procNumber(file, name string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != name {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			return n
		}
	}
	return -1
}

// Phase is one load and what it took.
type Phase struct {
	Name      string
	Warehouse string `json:",omitzero"` // of the server that was measured
	Ops       int64
	Seconds   float64
	PerSecond float64
	Millis    Latency
	// CPU seconds of the server, of the load generator, and of the database
	// below the server if there is one. That of everything else that ran
	// meanwhile is a share of all cores.
	ServerCPU   *float64 `json:",omitzero"`
	ClientCPU   float64
	DatabaseCPU *float64 `json:",omitzero"`
	OtherCPU    *float64 `json:",omitzero"`
	// BytesWritten is what the server gave to its disks.
	BytesWritten *int64 `json:",omitzero"`
}

// phase makes a phase of what the meters showed before and after it.
func phase(name string, before, after usage, ops int64, samples []time.Duration) Phase {
	p := Phase{Name: name, Ops: ops, Seconds: after.at.Sub(before.at).Seconds(), ClientCPU: after.client - before.client, Millis: latencyOf(samples)}
	p.PerSecond = float64(ops) / p.Seconds
	if before.server < 0 || after.server < 0 {
		return p
	}
	server, database := after.server-before.server, 0.0
	p.ServerCPU = &server
	if before.database >= 0 && after.database >= 0 {
		database = after.database - before.database
		p.DatabaseCPU = &database
	}
	if before.machine >= 0 && after.machine >= 0 {
		cores := float64(runtime.NumCPU())
		other := max(0, (after.machine-before.machine-server-p.ClientCPU-database)/(p.Seconds*cores))
		p.OtherCPU = &other
	}
	if before.written >= 0 && after.written >= 0 {
		written := after.written - before.written
		p.BytesWritten = &written
	}
	return p
}

// add joins two phases of one kind. Of the latencies, the worse ones remain.
func (p Phase) add(q Phase) Phase {
	if p.Ops == 0 {
		return q
	}
	out := p
	out.Ops += q.Ops
	out.Seconds += q.Seconds
	out.PerSecond = float64(out.Ops) / out.Seconds
	out.ClientCPU += q.ClientCPU
	out.ServerCPU = sum(p.ServerCPU, q.ServerCPU, 1, 1)
	out.DatabaseCPU = sum(p.DatabaseCPU, q.DatabaseCPU, 1, 1)
	out.OtherCPU = sum(p.OtherCPU, q.OtherCPU, p.Seconds/out.Seconds, q.Seconds/out.Seconds)
	if out.BytesWritten = nil; p.BytesWritten != nil && q.BytesWritten != nil {
		n := *p.BytesWritten + *q.BytesWritten
		out.BytesWritten = &n
	}
	a, b := p.Millis, q.Millis
	out.Millis = Latency{max(a.P50, b.P50), max(a.P90, b.P90), max(a.P99, b.P99), max(a.P999, b.P999), max(a.Max, b.Max)}
	return out
}

func sum(a, b *float64, wa, wb float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	s := *a*wa + *b*wb
	return &s
}

// serverMicros is the server's CPU time per operation, in microseconds.
func (p *Phase) serverMicros() (float64, bool) {
	if p.ServerCPU == nil || p.Ops == 0 {
		return 0, false
	}
	const micros = 1e6
	return *p.ServerCPU * micros / float64(p.Ops), true
}

// fileSystem is the kind of file system that a folder is on: fsync costs
// nothing on some.
func fileSystem(dir string) string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	kind, longest := "", 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		at := strings.TrimSuffix(fields[1], "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= longest {
			kind, longest = fields[2], len(at)
		}
	}
	return kind
}
