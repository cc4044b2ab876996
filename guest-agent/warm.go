package main

import (
	"encoding/json"
	"io"
	"time"
)

// warmUpWait bounds the warm-up of a template that holds no shell, or one that hangs.
const warmUpWait = 20 * time.Second

// warmUp has the agent serve a host of its own making once, before a template is written down: what every first program
// costs (pages read from the disk, threads, tables) is then paid in all clones.
func (a *agent) warmUp() {
	for _, argv := range [][]string{{"/bin/sh", "-c", ":"}, {"/bin/bash", "-l", "-c", ":"}, {"/bin/echo", "warm"}} {
		done := make(chan struct{})
		fromHost, host := io.Pipe()
		toHost, agentEnd := io.Pipe()
		go func() { _ = a.serve(fromHost, agentEnd) }()
		go func() {
			_ = awaitClose(toHost)
			close(done)
		}()
		hello, _ := json.Marshal(map[string]interface{}{"version": protoVersion, "nonce": "warm-up"})
		open, _ := json.Marshal(map[string]interface{}{
			"method": "exec.start", "params": map[string]interface{}{"execId": "warm-up", "argv": argv, "user": "root"},
		})
		wire := appendFrame([]byte(protoMarker), frame{kind: frameHello, payload: hello})
		_, _ = host.Write(appendFrame(wire, frame{kind: frameOpen, stream: 1, payload: open}))
		select {
		case <-done:
		case <-time.After(warmUpWait):
		}
		_ = host.Close()
		_ = toHost.Close()
		a.execs.forgetAll()
	}
}

// awaitClose reads what the agent says until it closes the one stream.
func awaitClose(from io.Reader) error {
	decode := newDecoder(from)
	for {
		f, _, err := decode.next()
		if err != nil || f.kind == frameClose {
			return err
		}
	}
}
