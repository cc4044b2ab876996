package main

import (
	"encoding/json"
	"io"
	"sync"
)

const agentVersion = "0.1.0"

type handler func(s *stream, params json.RawMessage) (interface{}, error)

// agent is all state of the sandbox that outlives a connection: programs and what was bound at claim.
type agent struct {
	identity sync.Mutex // guards bootID
	bootID   string
	methods  map[string]handler
	bound    binding
	execs    execTable
	users    userTable
	reaper   *reaper
	volumes  volumeTable
}

func newAgent() *agent {
	a := &agent{bootID: newBootID(), reaper: startReaper()}
	a.execs.byID = map[string]*process{}
	a.methods = map[string]handler{
		"ping":         func(*stream, json.RawMessage) (interface{}, error) { return nil, nil },
		"bind":         a.bind,
		"warm":         a.warm,
		"killAll":      a.killAll,
		"exec.start":   a.execStart,
		"exec.attach":  a.execAttach,
		"exec.stdin":   a.execStdin,
		"exec.signal":  a.execSignal,
		"exec.resize":  a.execResize,
		"exec.list":    a.execList,
		"file.stat":    a.fileStat,
		"file.list":    a.fileList,
		"file.mkdir":   a.fileMkdir,
		"file.move":    a.fileMove,
		"file.remove":  a.fileRemove,
		"file.read":    a.fileRead,
		"file.write":   a.fileWrite,
		"file.watch":   a.fileWatch,
		"tcp.connect":  a.tcpConnect,
		"volume.mount": a.volumeMount,
		"volume.serve": a.volumeServe,
		"metrics":      a.metrics,
	}
	return a
}

// serve speaks with one host after the other over the same byte stream, until the stream ends.
func (a *agent) serve(in io.Reader, out io.Writer) error {
	writing := &writeTurn{}
	var current *conn
	decode := newDecoder(in)
	for {
		f, resynced, err := decode.next()
		if err != nil {
			if current != nil {
				current.kill()
			}
			return err
		}
		if resynced || f.kind == frameHello {
			if f.kind != frameHello {
				decode.hunting = true
				continue
			}
			if current != nil {
				current.kill()
			}
			current = a.welcome(f.payload, out, writing)
			if current == nil {
				decode.hunting = true
			}
			continue
		}
		if current != nil {
			current.handle(f)
		}
	}
}

// welcome answers a HELLO and starts the connection that it opens; nil where none was opened.
func (a *agent) welcome(payload []byte, out io.Writer, writing *writeTurn) *conn {
	var hello struct {
		Version int    `json:"version"`
		Nonce   string `json:"nonce"`
	}
	if json.Unmarshal(payload, &hello) != nil || len(hello.Nonce) > 64 {
		return nil
	}
	answer := map[string]interface{}{
		"version": protoVersion, "nonce": hello.Nonce, "agentVersion": agentVersion, "bootId": a.boot(),
	}
	sound := hello.Version == protoVersion
	if !sound {
		answer["error"] = "version"
	}
	body, _ := json.Marshal(answer)
	wire := appendFrame([]byte(protoMarker), frame{kind: frameHello, payload: body})
	c := newConn(a, out)
	c.control = append(c.control, wire)
	c.closing = !sound
	go c.writeLoop(writing)
	if !sound {
		return nil
	}
	return c
}
