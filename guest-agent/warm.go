package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// warmUpWait bounds each step of the warm-up of a template that holds no shell, or of one that hangs.
const warmUpWait = 20 * time.Second

type warmUpCall struct {
	Method string      `json:"method"`
	Params interface{} `json:"params"`
}

// warmUp has the agent serve a host of its own making once, before a template is written down: what every first call and
// every first program costs (pages read from the disk, threads, tables) is then paid in all clones. The calls are those
// that a sandbox gets when it is made.
func (a *agent) warmUp() {
	entropy := base64.StdEncoding.EncodeToString([]byte(newBootID()))
	clock := time.Now().UnixMilli()
	bound := map[string]interface{}{"env": map[string]string{}, "cpus": 1, "clockUnixMs": clock, "user": startUser}
	calls := []warmUpCall{
		{"bind", map[string]interface{}{"machineId": newBootID(), "clockUnixMs": clock, "entropyBase64": entropy}},
		{"bind", bound},
		warmUpExec("/bin/sh", "-c", ":"), warmUpExec("/bin/bash", "-l", "-c", ":"), warmUpExec("echo", "warm"),
	}
	for round := 0; round < 2; round++ { // what the first host left behind, the second one finds
		a.serveWarmUp(calls)
	}
	_, _ = filepath.Glob(restoreHooks)
	a.bound.reset()
	syscall.Sync() // or a clone writes to its disk what the template left to be written
	runtime.GC()   // or a clone does
}

func warmUpExec(argv ...string) warmUpCall {
	return warmUpCall{"exec.start", map[string]interface{}{"execId": "warm-up", "argv": argv}}
}

// serveWarmUp is one host: it says hello and makes the calls, one after the other.
func (a *agent) serveWarmUp(calls []warmUpCall) {
	fromHost, host := io.Pipe()
	toHost, agentEnd := io.Pipe()
	defer host.Close()
	defer toHost.Close()
	go func() { _ = a.serve(fromHost, agentEnd) }()
	closed := make(chan struct{})
	go func() {
		from := newDecoder(toHost)
		for f, _, err := from.next(); err == nil; f, _, err = from.next() {
			if f.kind == frameClose {
				closed <- struct{}{}
			}
		}
		close(closed)
	}()
	hello, _ := json.Marshal(map[string]interface{}{"version": protoVersion, "nonce": "warm-up"})
	wire := appendFrame([]byte(protoMarker), frame{kind: frameHello, payload: hello})
	for i, call := range calls {
		open, _ := json.Marshal(call)
		_, _ = host.Write(appendFrame(wire, frame{kind: frameOpen, stream: uint32(i + 1), payload: open}))
		wire = nil
		select {
		case <-closed:
		case <-time.After(warmUpWait):
			return
		}
		a.execs.forgetAll()
	}
}
