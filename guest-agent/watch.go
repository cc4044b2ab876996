package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	watchesMax = 4096
	watchMask  = syscall.IN_CREATE | syscall.IN_DELETE | syscall.IN_MODIFY | syscall.IN_MOVED_FROM |
		syscall.IN_MOVED_TO | syscall.IN_ATTRIB | syscall.IN_DELETE_SELF | syscall.IN_DONT_FOLLOW
)

type fileEvent struct {
	Type string `json:"type"`
	Path string `json:"path"`
}

// watcher follows one file or directory, or a tree, by inotify.
type watcher struct {
	agent     *agent
	stream    *stream
	user      string
	root      string
	recursive bool
	file      *os.File
	paths     map[int32]string
	last      fileEvent // of this read, so that a burst of the same is sent once
}

func (a *agent) fileWatch(s *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &watcher{
		agent: a, stream: s, user: params.User, root: params.Path, recursive: params.Recursive,
		file: os.NewFile(uintptr(fd), "inotify"), paths: map[int32]string{},
	}
	defer w.file.Close()
	s.whenClosed(func() { _ = w.file.Close() })
	if err := a.asUser(w.user, func() error { return w.add(w.root, nil) }); err != nil {
		return nil, err
	}
	if err := s.message(map[string]bool{"ready": true}); err != nil {
		return nil, err
	}
	return nil, w.run()
}

func (w *watcher) run() error {
	buffer := make([]byte, 32*1024)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			return err // closed with the stream
		}
		w.last = fileEvent{}
		for rest := buffer[:n]; len(rest) >= syscall.SizeofInotifyEvent; {
			size := syscall.SizeofInotifyEvent + int(binary.LittleEndian.Uint32(rest[12:]))
			if size > len(rest) {
				break
			}
			name := strings.TrimRight(string(rest[syscall.SizeofInotifyEvent:size]), "\x00")
			if err := w.tell(int32(binary.LittleEndian.Uint32(rest)), binary.LittleEndian.Uint32(rest[4:]), name); err != nil {
				return err
			}
			rest = rest[size:]
		}
	}
}

// tell sends what one event of the kernel means, and follows it into new directories.
func (w *watcher) tell(descriptor int32, mask uint32, name string) error {
	if mask&syscall.IN_Q_OVERFLOW != 0 {
		return w.send("overflow", w.root)
	}
	directory, known := w.paths[descriptor]
	if mask&syscall.IN_IGNORED != 0 {
		delete(w.paths, descriptor)
		return nil
	}
	if !known || mask&syscall.IN_DELETE_SELF != 0 && directory != w.root {
		return nil // the directory above tells of it
	}
	path := filepath.Join(directory, name)
	if err := w.send(kindOf(mask), path); err != nil {
		return err
	}
	if !w.recursive || mask&(syscall.IN_CREATE|syscall.IN_MOVED_TO) == 0 || mask&syscall.IN_ISDIR == 0 {
		return nil
	}
	var inside []string // what was made before the watch stood
	err := w.agent.asUser(w.user, func() error { return w.add(path, &inside) })
	for _, child := range inside {
		if err := w.send("create", child); err != nil {
			return err
		}
	}
	if err == errTooManyWatches {
		return w.send("overflow", w.root)
	}
	return nil
}

func (w *watcher) send(kind, path string) error {
	event := fileEvent{kind, path}
	if event == w.last {
		return nil
	}
	w.last = event
	return w.stream.message(map[string]interface{}{"event": event})
}

var errTooManyWatches = fail("file_invalid", "too many directories to watch")

// add watches a directory and, where asked for, everything below it; inside collects what lies there.
func (w *watcher) add(path string, inside *[]string) error {
	if len(w.paths) >= watchesMax {
		return errTooManyWatches
	}
	control, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var descriptor int
	var watchErr error
	err = control.Control(func(fd uintptr) { descriptor, watchErr = syscall.InotifyAddWatch(int(fd), path, watchMask) })
	if err == nil {
		err = watchErr
	}
	if err != nil {
		return err
	}
	w.paths[int32(descriptor)] = path
	if !w.recursive {
		return nil
	}
	children, _ := os.ReadDir(path)
	for _, child := range children {
		below := filepath.Join(path, child.Name())
		if inside != nil && len(*inside) < watchesMax {
			*inside = append(*inside, below)
		}
		if child.IsDir() {
			if err := w.add(below, inside); err == errTooManyWatches {
				return err
			}
		}
	}
	return nil
}

func kindOf(mask uint32) string {
	switch {
	case mask&syscall.IN_CREATE != 0:
		return "create"
	case mask&(syscall.IN_DELETE|syscall.IN_DELETE_SELF) != 0:
		return "remove"
	case mask&(syscall.IN_MOVED_FROM|syscall.IN_MOVED_TO) != 0:
		return "rename"
	case mask&syscall.IN_MODIFY != 0:
		return "write"
	default:
		return "chmod"
	}
}
