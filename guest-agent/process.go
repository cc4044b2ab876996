package main

import (
	"os"
	"sync"
	"syscall"
	"time"
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
	// pty is the terminal's controlling side, nil without one; stdin is nil where the program has none.
	pty     *os.File
	stdin   *os.File
	outputs [2]*output
	// stdinTurn lets one request at a time write; midLine says whether the last one stopped inside a line.
	stdinTurn chan struct{}
	midLine   bool
	attaching sync.Mutex

	mu      sync.Mutex
	reader  *stream
	late    bool // its deadline came
	reaped  bool
	exited  *exitInfo
	endedAt time.Time
	// done is closed when the program has ended and its output was read.
	done chan struct{}
}

// startProcess starts a program in a session of its own. first gets its output from the first byte.
func (a *agent) startProcess(l launch, first *stream) (*process, error) {
	p := &process{
		id: l.id, argv: l.argv, user: l.user.name, startedAt: time.Now(),
		outputs:   [2]*output{newOutput(0), newOutput(1)},
		stdinTurn: make(chan struct{}, 1), done: make(chan struct{}),
	}
	program, err := lookUp(l.argv[0], l.env, l.cwd)
	if err != nil {
		return nil, err
	}
	ends, err := openEnds(l)
	if err != nil {
		return nil, fail("exec_failed", "no streams for the program: "+err.Error())
	}
	defer ends.closeChild()
	attributes := &syscall.ProcAttr{Dir: l.cwd, Env: l.env, Files: ends.child[:], Sys: &syscall.SysProcAttr{Setsid: true}}
	attributes.Sys.Setctty = l.pty
	if os.Geteuid() != l.user.uid {
		attributes.Sys.Credential = &syscall.Credential{Uid: uint32(l.user.uid), Gid: uint32(l.user.gid), Groups: l.user.groups}
	}
	var pid int
	var ended <-chan syscall.WaitStatus
	withProcessors(l.cpus, func() { pid, ended, err = a.spawn(program, l.argv, attributes) })
	if err != nil {
		ends.closeAgent()
		if _, statErr := os.Stat(l.cwd); statErr != nil {
			return nil, fail("exec_failed", "the working directory "+l.cwd+" does not exist")
		}
		return nil, fail("exec_failed", l.argv[0]+": "+err.Error())
	}
	p.pid, p.pty, p.stdin = pid, ends.pty, ends.stdin
	p.setReader(first)
	p.follow(ends.outputs, ended, l.timeout)
	return p, nil
}

// follow pumps the output, keeps the deadline and records the end.
func (p *process) follow(sources []*os.File, ended <-chan syscall.WaitStatus, timeout time.Duration) {
	var pumps sync.WaitGroup
	pumps.Add(len(sources))
	for i, from := range sources {
		go func(o *output, from *os.File) {
			o.pump(from)
			_ = from.Close()
			pumps.Done()
		}(p.outputs[i], from)
	}
	drained := make(chan struct{})
	go func() {
		pumps.Wait()
		close(drained)
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
		p.mu.Lock()
		p.reaped = true
		p.mu.Unlock()
		p.waitDrained(sources, drained)
		p.record(status)
	}()
}

// waitDrained returns when the output is read to its end. Daemons that hold a pipe open delay it by the grace at most,
// but never cut what the program itself has said.
func (p *process) waitDrained(sources []*os.File, drained <-chan struct{}) {
	var reached [2]<-chan struct{}
	for i, from := range sources {
		reached[i] = p.outputs[i].markFinal(from)
	}
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	select {
	case <-drained:
		return
	case <-grace.C:
	}
	for i := range sources {
		<-reached[i]
	}
}

func (p *process) record(status syscall.WaitStatus) {
	info := &exitInfo{ExitCode: status.ExitStatus(), Reason: "exited"}
	if status.Signaled() {
		info.ExitCode = 128 + int(status.Signal())
		info.Signal = signalName(status.Signal())
		info.Reason = "signaled"
	}
	for _, o := range p.outputs {
		o.settle()
	}
	if p.stdin != nil && p.pty == nil {
		_ = p.stdin.Close()
	}
	p.mu.Lock()
	if p.late {
		info.Reason = "deadline"
	}
	p.exited, p.endedAt = info, time.Now()
	p.mu.Unlock()
	close(p.done)
}

// expire ends the whole group: politely, then not.
func (p *process) expire() {
	p.mu.Lock()
	late := !p.reaped
	p.late = late
	p.mu.Unlock()
	if !late {
		return
	}
	_ = p.signal(syscall.SIGTERM)
	time.AfterFunc(killGrace, func() { _ = p.signal(syscall.SIGKILL) })
}

// signal reaches the process group, also what is left of it after its first process.
func (p *process) signal(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped && syscall.Kill(p.pid, 0) == nil {
		return nil // a number is free for another process only when the group is gone
	}
	if err := syscall.Kill(-p.pid, signal); err != nil && err != syscall.ESRCH {
		return err
	}
	return nil
}

// end answers how the program ended, nil while it runs.
func (p *process) end() *exitInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited == nil {
		return nil
	}
	info := *p.exited
	info.TruncatedStdoutBytes = p.outputs[0].truncated()
	info.TruncatedStderrBytes = p.outputs[1].truncated()
	return &info
}

// setReader gives the output to s from what is kept on; an earlier reader is told that it lost it.
func (p *process) setReader(s *stream) {
	p.mu.Lock()
	earlier := p.reader
	p.reader = s
	p.mu.Unlock()
	if earlier != nil {
		earlier.finish(nil, fail("conflict", "another reader attached"))
		p.release(earlier)
	}
	for _, o := range p.outputs {
		o.attach(s)
	}
	s.whenClosed(func() { p.release(s) })
}

func (p *process) release(s *stream) {
	for _, o := range p.outputs {
		o.release(s)
	}
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
