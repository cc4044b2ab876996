package main

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	killGrace  = 500 * time.Millisecond
	drainGrace = 200 * time.Millisecond
)

// exitInfo is how a program ended; the shape of "exited" in the protocol.
type exitInfo struct {
	ExitCode             int    `json:"exitCode"`
	Signal               string `json:"signal,omitempty"`
	Reason               string `json:"reason"`
	TruncatedStdoutBytes int64  `json:"truncatedStdoutBytes"`
	TruncatedStderrBytes int64  `json:"truncatedStderrBytes"`
}

// process is one exec: the program, its streams, and its end.
type process struct {
	id        string
	pid       int
	argv      []string
	user      string
	startedAt time.Time
	pty       *os.File
	stdin     *os.File
	stdout    *output
	stderr    *output

	mu      sync.Mutex
	late    bool // its deadline came
	exited  *exitInfo
	endedAt time.Time
	done    chan struct{}
}

// launch holds what a program is started with.
type launch struct {
	id      string
	argv    []string
	cwd     string
	env     []string
	user    account
	stdin   bool
	rows    uint16
	cols    uint16
	pty     bool
	cpus    int
	timeout time.Duration
}

// startProcess starts a program in a session of its own. reader gets its output from the first byte.
func (a *agent) startProcess(l launch, reader *stream) (*process, error) {
	p := &process{
		id: l.id, argv: l.argv, user: l.user.name, startedAt: time.Now(),
		stdout: newOutput(0), stderr: newOutput(1), done: make(chan struct{}),
	}
	p.stdout.reader, p.stderr.reader = reader, reader
	var sources []*os.File
	var childEnds []int
	var err error
	if l.pty {
		sources, childEnds, err = p.openPty(l)
	} else {
		sources, childEnds, err = p.openPipes(l.stdin)
	}
	defer func() {
		for _, fd := range childEnds {
			syscall.Close(fd)
		}
	}()
	if err != nil {
		return nil, fail("exec_failed", err.Error())
	}
	program, err := lookUp(l.argv[0], l.env, l.cwd)
	if err != nil {
		p.closeStreams(sources)
		return nil, err
	}
	files := []uintptr{uintptr(childEnds[0]), uintptr(childEnds[1%len(childEnds)]), uintptr(childEnds[2%len(childEnds)])}
	attributes := &syscall.ProcAttr{Dir: l.cwd, Env: l.env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if l.pty {
		attributes.Files = []uintptr{files[0], files[0], files[0]}
		attributes.Sys.Setctty = true
	}
	if os.Geteuid() != l.user.uid {
		attributes.Sys.Credential = &syscall.Credential{Uid: uint32(l.user.uid), Gid: uint32(l.user.gid), Groups: l.user.groups}
	}
	pid, ended, err := a.reaper.start(func() (int, error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		limitProcessors(l.cpus)
		return syscall.ForkExec(program, l.argv, attributes)
	})
	if err != nil {
		p.closeStreams(sources)
		if _, statErr := os.Stat(l.cwd); statErr != nil {
			return nil, fail("exec_failed", "the working directory "+l.cwd+" does not exist")
		}
		return nil, fail("exec_failed", l.argv[0]+": "+err.Error())
	}
	p.pid = pid
	p.follow(sources, ended, l.timeout)
	return p, nil
}

func (p *process) closeStreams(sources []*os.File) {
	for _, source := range sources {
		source.Close()
	}
	if p.stdin != nil {
		p.stdin.Close()
	}
}

// openPipes answers the agent's ends of stdout and stderr, and the child's three.
func (p *process) openPipes(stdin bool) (sources []*os.File, child []int, err error) {
	if stdin {
		var ends [2]int
		if err = syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
			return
		}
		child = append(child, ends[0])
		p.stdin = pollable(ends[1], "stdin")
	} else {
		null, openErr := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if openErr != nil {
			return nil, nil, openErr
		}
		child = append(child, null)
	}
	for _, name := range []string{"stdout", "stderr"} {
		var ends [2]int
		if err = syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
			p.closeStreams(sources)
			return
		}
		sources = append(sources, pollable(ends[0], name))
		child = append(child, ends[1])
	}
	return
}

// pollable wraps the agent's own end; the other end stays blocking, as programs expect.
func pollable(fd int, name string) *os.File {
	_ = syscall.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}

// follow pumps the output, keeps the deadline and records the end.
func (p *process) follow(sources []*os.File, ended <-chan syscall.WaitStatus, timeout time.Duration) {
	outputs := []*output{p.stdout, p.stderr}
	drained := make(chan struct{})
	var pumps sync.WaitGroup
	for i, source := range sources {
		pumps.Add(1)
		go func(o *output, from *os.File) {
			o.pump(from)
			pumps.Done()
		}(outputs[i], source)
	}
	go func() {
		pumps.Wait()
		close(drained)
		for _, source := range sources {
			source.Close()
		}
	}()
	var deadline *time.Timer
	if timeout > 0 {
		deadline = time.AfterFunc(timeout, p.expire)
	}
	go func() {
		status := <-ended
		if deadline != nil {
			deadline.Stop()
		}
		p.waitDrained(drained, outputs[:len(sources)])
		p.record(status)
		close(p.done)
	}()
}

// waitDrained returns when the output is read to its end, or when only silent daemons still hold it open.
func (p *process) waitDrained(drained <-chan struct{}, outputs []*output) {
	endedAt := time.Now()
	for {
		select {
		case <-drained:
			return
		case <-time.After(10 * time.Millisecond):
		}
		silent := true
		for _, o := range outputs {
			silent = silent && o.silentSince(endedAt) >= drainGrace
		}
		if silent {
			return
		}
	}
}

func (p *process) record(status syscall.WaitStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info := &exitInfo{ExitCode: status.ExitStatus(), Reason: "exited"}
	if status.Signaled() {
		info.ExitCode = 128 + int(status.Signal())
		info.Signal = signalName(status.Signal())
		info.Reason = "signaled"
	}
	if p.late {
		info.Reason = "deadline"
	}
	info.TruncatedStdoutBytes = p.stdout.truncated()
	info.TruncatedStderrBytes = p.stderr.truncated()
	p.exited, p.endedAt = info, time.Now()
}

// expire ends the whole group: politely, then not.
func (p *process) expire() {
	p.mu.Lock()
	if p.exited != nil {
		p.mu.Unlock()
		return
	}
	p.late = true
	p.mu.Unlock()
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	time.AfterFunc(killGrace, func() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) })
}

func (p *process) end() *exitInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// lookUp finds the program as execvp would, with the PATH that the program will have.
func lookUp(name string, env []string, cwd string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, entry := range env {
		if strings.HasPrefix(entry, "PATH=") {
			path = entry[len("PATH="):]
		}
	}
	for _, folder := range strings.Split(path, ":") {
		if folder == "" {
			folder = cwd
		}
		candidate := folder + "/" + name
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fail("exec_failed", "no program "+name+" in PATH")
}

// limitProcessors makes what this thread starts see (and use) only the first processors.
func limitProcessors(cpus int) {
	if cpus <= 0 || cpus >= runtime.NumCPU() {
		return
	}
	var mask [16]uint64
	for cpu := 0; cpu < cpus && cpu < 1024; cpu++ {
		mask[cpu/64] |= 1 << (cpu % 64)
	}
	_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask[0])))
}

var signalNames = map[syscall.Signal]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
	24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}

func signalName(signal syscall.Signal) string {
	if name, ok := signalNames[signal]; ok {
		return name
	}
	return "SIG" + itoa(int(signal))
}
