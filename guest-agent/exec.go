package main

import (
	"encoding/json"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	runningMax     = 512
	endedKeptMax   = 32
	endedKept      = 5 * time.Minute
	argumentsMax   = 1 << 20
	timeoutMsMax   = 7 * 24 * 3600 * 1000
	defaultPath    = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	endOfFileOnTty = "\x04"
)

// execTable knows every program of the API: those that run and, for a while, those that ended.
type execTable struct {
	mu   sync.Mutex
	byID map[string]*process
}

// reserve keeps an id for a program that is about to start.
func (t *execTable) reserve(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	if _, taken := t.byID[id]; taken {
		return fail("conflict", "exec id "+id+" is taken")
	}
	running := 0
	for _, p := range t.byID {
		if p == nil || p.end() == nil {
			running++
		}
	}
	if running >= runningMax {
		return fail("conflict", "too many programs run at once")
	}
	t.byID[id] = nil
	return nil
}

func (t *execTable) put(id string, p *process) {
	t.mu.Lock()
	if p == nil {
		delete(t.byID, id)
	} else {
		t.byID[id] = p
	}
	t.mu.Unlock()
}

// expire forgets ended programs: those past their time, and all but the newest few. t.mu is held.
func (t *execTable) expire() {
	var ended []*process
	for id, p := range t.byID {
		if p == nil || p.end() == nil {
			continue
		}
		if time.Since(p.endedAt) > endedKept {
			delete(t.byID, id)
		} else {
			ended = append(ended, p)
		}
	}
	sort.Slice(ended, func(i, j int) bool { return ended[i].endedAt.Before(ended[j].endedAt) })
	for len(ended) > endedKeptMax {
		delete(t.byID, ended[0].id)
		ended = ended[1:]
	}
}

func (t *execTable) find(raw json.RawMessage) (*process, error) {
	var params struct {
		ExecID string `json:"execId"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[params.ExecID]; p != nil {
		return p, nil
	}
	return nil, fail("exec_not_found", "no exec "+params.ExecID)
}

type execParams struct {
	ExecID    string            `json:"execId"`
	Argv      []string          `json:"argv"`
	Command   string            `json:"command"`
	Cwd       string            `json:"cwd"`
	Env       map[string]string `json:"env"`
	User      string            `json:"user"`
	Stdin     bool              `json:"stdin"`
	TimeoutMs float64           `json:"timeoutMs"`
	Pty       *struct {
		Rows uint16 `json:"rows"`
		Cols uint16 `json:"cols"`
	} `json:"pty"`
}

func (a *agent) execStart(s *stream, raw json.RawMessage) (interface{}, error) {
	var params execParams
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	l, err := a.prepareLaunch(params)
	if err != nil {
		return nil, err
	}
	if err := a.execs.reserve(l.id); err != nil {
		return nil, err
	}
	s.keepUncredited = true
	p, err := a.startProcess(l, s)
	a.execs.put(l.id, p)
	if err != nil {
		return nil, err
	}
	_ = s.message(map[string]interface{}{"started": map[string]int{"pid": p.pid}})
	return a.stay(s, p)
}

// stay is a reader's time: until the program has ended, or until the reader is gone.
func (a *agent) stay(s *stream, p *process) (interface{}, error) {
	gone := make(chan struct{})
	s.whenCanceled(func() { close(gone) })
	select {
	case <-p.done:
		_ = s.message(map[string]interface{}{"exited": p.end()})
	case <-gone:
	}
	p.stdout.detach(s)
	p.stderr.detach(s)
	return nil, nil
}

func (a *agent) prepareLaunch(params execParams) (launch, error) {
	size := len(params.Command) + len(params.Cwd)
	for _, argument := range params.Argv {
		size += len(argument)
	}
	if size > argumentsMax || len(params.ExecID) == 0 || len(params.ExecID) > 64 {
		return launch{}, fail("invalid_request", "arguments too long, or no exec id")
	}
	if params.TimeoutMs < 0 || params.TimeoutMs > timeoutMsMax {
		return launch{}, fail("invalid_request", "timeoutMs out of range")
	}
	user, err := a.userOr(params.User)
	if err != nil {
		return launch{}, err
	}
	l := launch{id: params.ExecID, argv: params.Argv, cwd: params.Cwd, user: user, stdin: params.Stdin}
	l.timeout = time.Duration(params.TimeoutMs * float64(time.Millisecond))
	if (len(params.Argv) > 0) == (params.Command != "") {
		return launch{}, fail("invalid_request", "give exactly one of argv and command")
	}
	if params.Command != "" {
		l.argv = shellArgv(params.Command)
	}
	if l.cwd == "" {
		l.cwd = user.home
		if info, err := os.Stat(l.cwd); err != nil || !info.IsDir() {
			l.cwd = "/"
		}
	}
	bound, cpus := a.bound.snapshot()
	l.cpus = cpus
	if params.Pty != nil {
		l.pty, l.rows, l.cols = true, params.Pty.Rows, params.Pty.Cols
	}
	l.env = environment(user, l.pty, bound, params.Env)
	return l, nil
}

func shellArgv(command string) []string {
	if _, err := os.Stat("/bin/bash"); err == nil {
		return []string{"/bin/bash", "-l", "-c", command}
	}
	return []string{"/bin/sh", "-c", command}
}

// environment puts together what a program sees; later layers win.
func environment(user account, pty bool, layers ...map[string]string) []string {
	all := map[string]string{
		"PATH": defaultPath, "HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": user.shell,
		"LANG": "C.UTF-8",
	}
	if pty {
		all["TERM"] = "xterm-256color"
	}
	for _, layer := range layers {
		for name, value := range layer {
			if name != "" && !strings.ContainsAny(name, "=\x00") && !strings.Contains(value, "\x00") {
				all[name] = value
			}
		}
	}
	env := make([]string, 0, len(all))
	for name, value := range all {
		env = append(env, name+"="+value)
	}
	sort.Strings(env)
	return env
}

func (a *agent) execAttach(s *stream, raw json.RawMessage) (interface{}, error) {
	p, err := a.execs.find(raw)
	if err != nil {
		return nil, err
	}
	var params struct {
		Follow bool `json:"follow"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	s.keepUncredited = params.Follow
	attached := map[string]interface{}{
		"pid": p.pid, "truncatedStdoutBytes": p.stdout.truncated(), "truncatedStderrBytes": p.stderr.truncated(),
	}
	if err := s.message(map[string]interface{}{"attached": attached}); err != nil {
		return nil, err
	}
	for _, o := range []*output{p.stdout, p.stderr} {
		if params.Follow {
			o.supersede()
		}
		o.attach(s, params.Follow)
	}
	if !params.Follow {
		if end := p.end(); end != nil {
			_ = s.message(map[string]interface{}{"exited": end})
		}
		return nil, nil
	}
	return a.stay(s, p)
}

func (a *agent) execStdin(s *stream, raw json.RawMessage) (interface{}, error) {
	p, err := a.execs.find(raw)
	if err != nil {
		return nil, err
	}
	var params struct {
		End bool `json:"end"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	if p.stdin == nil {
		return nil, fail("conflict", "this exec was started without stdin")
	}
	s.whenCanceled(func() { _ = p.stdin.SetWriteDeadline(time.Now()) })
	defer func() { _ = p.stdin.SetWriteDeadline(time.Time{}) }()
	written := 0
	for {
		data, err := s.read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		n, err := p.stdin.Write(data)
		written += n
		if err != nil {
			return nil, fail("conflict", "the program reads no stdin any more")
		}
	}
	switch {
	case !params.End:
	case p.pty != nil:
		_, _ = p.pty.WriteString(endOfFileOnTty)
	default:
		_ = p.stdin.Close()
	}
	return map[string]int{"bytes": written}, nil
}

func (a *agent) execSignal(_ *stream, raw json.RawMessage) (interface{}, error) {
	p, err := a.execs.find(raw)
	if err != nil {
		return nil, err
	}
	var params struct {
		Signal int `json:"signal"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	if params.Signal < 1 || params.Signal > 64 {
		return nil, fail("invalid_request", "signals are 1 to 64")
	}
	if err := syscall.Kill(-p.pid, syscall.Signal(params.Signal)); err != nil && err != syscall.ESRCH {
		return nil, err
	}
	return nil, nil
}

func (a *agent) execResize(_ *stream, raw json.RawMessage) (interface{}, error) {
	p, err := a.execs.find(raw)
	if err != nil {
		return nil, err
	}
	var params struct {
		Rows uint16 `json:"rows"`
		Cols uint16 `json:"cols"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	if p.pty == nil {
		return nil, fail("conflict", "this exec has no terminal")
	}
	control, err := p.pty.SyscallConn()
	if err != nil {
		return nil, err
	}
	var result error
	err = control.Control(func(fd uintptr) { result = setSize(int(fd), params.Rows, params.Cols) })
	if err == nil {
		err = result
	}
	return nil, err
}

func (a *agent) execList(*stream, json.RawMessage) (interface{}, error) {
	type entry struct {
		ExecID        string    `json:"execId"`
		Pid           int       `json:"pid"`
		Argv          []string  `json:"argv"`
		User          string    `json:"user"`
		StartedUnixMs int64     `json:"startedUnixMs"`
		Pty           bool      `json:"pty"`
		Exited        *exitInfo `json:"exited,omitempty"`
	}
	a.execs.mu.Lock()
	defer a.execs.mu.Unlock()
	a.execs.expire()
	entries := []entry{}
	size := 0
	for _, p := range a.execs.byID {
		if p == nil {
			continue
		}
		argv := shortened(p.argv)
		for _, argument := range argv {
			size += len(argument) + 8
		}
		if size > messageBytesMax/2 {
			argv = nil
		}
		entries = append(entries, entry{p.id, p.pid, argv, p.user, p.startedAt.UnixMilli(), p.pty != nil, p.end()})
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].StartedUnixMs < entries[j].StartedUnixMs })
	if len(entries) > 128 {
		entries = entries[len(entries)-128:]
	}
	return map[string]interface{}{"execs": entries}, nil
}

// shortened cuts arguments so that a list of programs fits a frame.
func shortened(argv []string) []string {
	short := make([]string, 0, len(argv))
	for i, argument := range argv {
		if i == 16 {
			break
		}
		if len(argument) > 200 {
			argument = argument[:200]
		}
		short = append(short, argument)
	}
	return short
}
