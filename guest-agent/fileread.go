package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"syscall"
)

const (
	// smallBytesMax: what says to be at most this long is read whole first, because /proc and /sys do not say the truth.
	smallBytesMax = 4096
	// unsizedBytesMax bounds such a file.
	unsizedBytesMax = 4 << 20
	readBytes       = protoPayloadBytesMax
)

// fileRead streams a regular file, or what a /proc file says; devices and pipes are refused.
func (a *agent) fileRead(s *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	if params.Offset < 0 || params.Length != nil && *params.Length < 0 {
		return nil, fail("invalid_request", "offset and length are not negative")
	}
	var file *os.File
	err = a.asUser(params.User, func() error {
		var err error
		file, err = openPlain(params.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	source, size, err := contentOf(file)
	if err != nil {
		return nil, err
	}
	length := size - params.Offset
	if length < 0 {
		length = 0
	}
	if params.Length != nil && *params.Length < length {
		length = *params.Length
	}
	if err := s.message(map[string]int64{"size": size, "offset": params.Offset, "length": length}); err != nil {
		return nil, err
	}
	return nil, copyOut(s, io.NewSectionReader(source, params.Offset, length))
}

// openPlain opens a file without Go's poller. The poller asks a file of a volume whether it is ready, in a way that lets
// nothing else of this process run meanwhile; where the process itself carries the volume's requests, nobody would answer.
func openPlain(path string, flags int, mode uint32) (*os.File, error) {
	descriptor, err := syscall.Open(path, flags|syscall.O_CLOEXEC, mode)
	for err == syscall.EINTR {
		descriptor, err = syscall.Open(path, flags|syscall.O_CLOEXEC, mode)
	}
	if err == nil && flags&syscall.O_NONBLOCK != 0 {
		err = syscall.SetNonblock(descriptor, false) // it was for pipes that nobody writes to
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(descriptor), path), nil
}

// contentOf answers a file's bytes and how many there are.
func contentOf(file *os.File) (io.ReaderAt, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fail("file_invalid", file.Name()+" is not a regular file")
	}
	if info.Size() > smallBytesMax {
		return file, info.Size(), nil
	}
	whole, err := io.ReadAll(io.LimitReader(file, unsizedBytesMax+1))
	if err != nil {
		return nil, 0, err
	}
	if len(whole) > unsizedBytesMax {
		return nil, 0, fail("file_invalid", file.Name()+" is longer than it says")
	}
	return bytes.NewReader(whole), int64(len(whole)), nil
}

func copyOut(s *stream, source io.Reader) error {
	to := newSender(s)
	buffer := make([]byte, readBytes)
	for {
		n, err := io.ReadFull(source, buffer)
		if n > 0 {
			if err := to.write(0, buffer[:n], false); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return to.write(0, nil, true)
		}
		if err != nil {
			return err
		}
	}
}
