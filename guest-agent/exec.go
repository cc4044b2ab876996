package main

import (
	"encoding/json"
	"io"
	"os"
	"syscall"
	"time"
)

const endOfFileOnTerminal = "\x04"

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
	p, err := a.startProcess(l, s)
	a.execs.put(l.id, p)
	if err != nil {
		return nil, err
	}
	if err := s.message(map[string]interface{}{"started": map[string]int{"pid": p.pid}}); err != nil {
		return nil, err
	}
	return stay(s, p)
}

// warm runs a login shell and a program once, with no record of it: what the first ones of a sandbox cost is paid then.
func (a *agent) warm(s *stream, raw json.RawMessage) (interface{}, error) {
	var params execParams
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	l, err := a.prepareLaunch(execParams{ExecID: "warm", Command: "/bin/echo >/dev/null", User: params.User})
	if err != nil {
		return nil, err
	}
	p, err := a.startProcess(l, s)
	if err == nil {
		<-p.done
	}
	return nil, err
}

// stay is a reader's time: until the program has ended and all of its output is sent, or until the reader is gone.
func stay(s *stream, p *process) (interface{}, error) {
	r := &reader{stream: s, outputs: p.outputs}
	s.feed(r)
	select {
	case <-p.done:
	case <-s.gone:
		return nil, errGone
	}
	if !r.waitSent() {
		return nil, errGone
	}
	return nil, s.message(map[string]interface{}{"exited": p.end()})
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
	if !params.Follow {
		return look(s, p)
	}
	p.attaching.Lock()
	p.setReader(s)
	err = p.sayAttached(s)
	p.attaching.Unlock()
	if err != nil {
		return nil, err
	}
	return stay(s, p)
}

func (p *process) sayAttached(s *stream) error {
	return s.message(map[string]interface{}{"attached": map[string]interface{}{
		"pid": p.pid, "truncatedStdoutBytes": p.outputs[0].truncated(), "truncatedStderrBytes": p.outputs[1].truncated(),
	}})
}

// look sends what the rings hold and leaves them, and any reader, as they are.
func look(s *stream, p *process) (interface{}, error) {
	if err := p.sayAttached(s); err != nil {
		return nil, err
	}
	to := newSender(s)
	for _, o := range p.outputs {
		if err := to.write(o.channel, o.snapshot(), false); err != nil {
			return nil, err
		}
	}
	if end := p.end(); end != nil {
		return nil, s.message(map[string]interface{}{"exited": end})
	}
	return nil, nil
}

// execStdin gives a program the bytes of the host, one request after the other.
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
	select {
	case p.stdinTurn <- struct{}{}:
	case <-s.gone:
		return nil, errGone
	}
	defer func() { <-p.stdinTurn }()
	defer untilGone(s, p.stdin)()
	written, err := p.copyStdin(s)
	if err != nil {
		return nil, err
	}
	if params.End {
		p.endStdin()
	}
	return map[string]int{"bytes": written}, nil
}

// untilGone makes writes to a program that does not read give up when the host goes away.
func untilGone(s *stream, stdin *os.File) (stop func()) {
	finished, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		select {
		case <-s.gone:
			_ = stdin.SetWriteDeadline(time.Now())
		case <-finished:
		}
		close(stopped)
	}()
	return func() {
		close(finished)
		<-stopped
		_ = stdin.SetWriteDeadline(time.Time{})
	}
}

func (p *process) copyStdin(s *stream) (written int, err error) {
	for {
		data, err := s.read()
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := p.stdin.Write(data)
		written += n
		if err != nil {
			return written, fail("conflict", "the program reads no stdin any more")
		}
		p.midLine = data[n-1] != '\n' && data[n-1] != '\r'
	}
}

func (p *process) endStdin() {
	if p.pty == nil {
		_ = p.stdin.Close()
		return
	}
	if p.midLine {
		_, _ = p.pty.WriteString(endOfFileOnTerminal) // in a line it only hands over the line
	}
	_, _ = p.pty.WriteString(endOfFileOnTerminal)
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
	return nil, p.signal(syscall.Signal(params.Signal))
}

func (a *agent) execResize(_ *stream, raw json.RawMessage) (interface{}, error) {
	p, err := a.execs.find(raw)
	if err != nil {
		return nil, err
	}
	var size terminalSize
	if err := decode(raw, &size); err != nil {
		return nil, err
	}
	if p.pty == nil {
		return nil, fail("conflict", "this exec has no terminal")
	}
	return nil, p.resize(size.Rows, size.Cols)
}
