package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const watchesMax = 4096

// watcher follows one directory, or a tree, by inotify.
type watcher struct {
	file      *os.File
	paths     map[int32]string
	recursive bool
}

const watchMask = syscall.IN_CREATE | syscall.IN_DELETE | syscall.IN_MODIFY | syscall.IN_MOVED_FROM |
	syscall.IN_MOVED_TO | syscall.IN_ATTRIB | syscall.IN_DONT_FOLLOW

func (a *agent) fileWatch(s *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), paths: map[int32]string{}, recursive: params.Recursive}
	defer w.file.Close()
	if err := a.asUser(params.User, func() error { return w.add(fd, params.Path) }); err != nil {
		return nil, err
	}
	if err := s.message(map[string]bool{"ready": true}); err != nil {
		return nil, err
	}
	s.whenCanceled(func() { w.file.Close() })
	buffer := make([]byte, 64*1024)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			return nil, nil // the host closed the stream
		}
		for offset := 0; offset+syscall.SizeofInotifyEvent <= n; {
			descriptor := int32(binary.LittleEndian.Uint32(buffer[offset:]))
			mask := binary.LittleEndian.Uint32(buffer[offset+4:])
			length := int(binary.LittleEndian.Uint32(buffer[offset+12:]))
			start := offset + syscall.SizeofInotifyEvent
			name := strings.TrimRight(string(buffer[start:start+length]), "\x00")
			offset = start + length
			path := filepath.Join(w.paths[descriptor], name)
			if w.recursive && mask&(syscall.IN_CREATE|syscall.IN_MOVED_TO) != 0 && mask&syscall.IN_ISDIR != 0 {
				_ = a.asUser(params.User, func() error { return w.add(fd, path) })
			}
			if kind := kindOf(mask); kind != "" {
				event := map[string]string{"type": kind, "path": path}
				if s.message(map[string]interface{}{"event": event}) != nil {
					return nil, nil
				}
			}
		}
	}
}

// add watches a directory and, where asked for, everything below it.
func (w *watcher) add(fd int, path string) error {
	if len(w.paths) >= watchesMax {
		return fail("file_invalid", "too many directories to watch")
	}
	descriptor, err := syscall.InotifyAddWatch(fd, path, watchMask)
	if err != nil {
		return err
	}
	w.paths[int32(descriptor)] = path
	if !w.recursive {
		return nil
	}
	children, _ := os.ReadDir(path)
	for _, child := range children {
		if child.IsDir() {
			_ = w.add(fd, filepath.Join(path, child.Name()))
		}
	}
	return nil
}

func kindOf(mask uint32) string {
	switch {
	case mask&syscall.IN_Q_OVERFLOW != 0:
		return "overflow"
	case mask&syscall.IN_CREATE != 0:
		return "create"
	case mask&syscall.IN_DELETE != 0:
		return "remove"
	case mask&(syscall.IN_MOVED_FROM|syscall.IN_MOVED_TO) != 0:
		return "rename"
	case mask&syscall.IN_MODIFY != 0:
		return "write"
	case mask&syscall.IN_ATTRIB != 0:
		return "chmod"
	default:
		return ""
	}
}
