package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sort"
	"syscall"
)

const (
	listDepthMax = 32
	// namesAtOnce bounds the memory of a huge directory; each such batch is sorted in itself.
	namesAtOnce = 10_000
)

// listing sends entries to the host, as many in a message as fit.
type listing struct {
	agent  *agent
	stream *stream
	batch  []json.RawMessage
	size   int
}

// fileList sends the entries below a directory; symlinks are not followed.
func (a *agent) fileList(s *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	if params.Depth < 1 || params.Depth > listDepthMax {
		return nil, fail("invalid_request", "depth is 1 to 32")
	}
	l := &listing{agent: a, stream: s}
	err = a.asUser(params.User, func() error { return l.walk(params.Path, params.Depth) })
	if err == nil {
		err = l.flush()
	}
	return nil, err
}

func (l *listing) walk(path string, depth int) error {
	directory, err := openPlain(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer directory.Close()
	for {
		names, err := directory.Readdirnames(namesAtOnce)
		sort.Strings(names)
		for _, name := range names {
			if err := l.add(filepath.Join(path, name), depth); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *listing) add(path string, depth int) error {
	e, err := l.agent.describe(path)
	if err != nil {
		return nil // removed meanwhile, or a path that is too long
	}
	if err := l.send(e); err != nil {
		return err
	}
	if e.Type != "directory" || depth <= 1 {
		return nil
	}
	if err := l.walk(path, depth-1); err == errGone {
		return err
	}
	return nil // what cannot be read is listed without its inside
}

// send puts an entry into the next message.
func (l *listing) send(e entry) error {
	wire, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if l.size+len(wire)+1 > listBytesMax {
		if err := l.flush(); err != nil {
			return err
		}
	}
	l.batch, l.size = append(l.batch, wire), l.size+len(wire)+1
	return nil
}

func (l *listing) flush() error {
	if l.batch == nil {
		l.batch = []json.RawMessage{}
	}
	err := l.stream.message(map[string]interface{}{"entries": l.batch})
	l.batch, l.size = l.batch[:0], 0
	return err
}
