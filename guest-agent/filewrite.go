package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
)

var temporaryNumber int64

// upload is a file on its way in: the bytes go to a neighbour that takes the target's place at the end.
type upload struct {
	file   *os.File
	target string
	// temporary is empty where the bytes go into the target itself (append, or a folder that takes no new file).
	temporary string
	keepMode  os.FileMode
	hasMode   bool
}

// fileWrite takes a file from the host. Half an upload leaves the old file as it was.
func (a *agent) fileWrite(s *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	var up *upload
	err = a.asUser(params.User, func() error {
		var err error
		up, err = openUpload(params)
		return err
	})
	if err != nil {
		return nil, err
	}
	size, err := copyIn(s, up.file)
	if closeErr := up.file.Close(); err == nil {
		err = closeErr
	}
	finishErr := a.asUser(params.User, func() error { return up.finish(err == nil) })
	if err == nil {
		err = finishErr
	}
	if err != nil {
		return nil, err
	}
	return map[string]int64{"size": size}, nil
}

func copyIn(s *stream, file *os.File) (int64, error) {
	size := int64(0)
	for {
		data, err := s.read()
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, err
		}
		n, err := file.Write(data)
		size += int64(n)
		if err != nil {
			return size, err
		}
	}
}

// openUpload runs with the user's rights.
func openUpload(params fileParams) (*upload, error) {
	target := params.Path
	if params.Parents {
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return nil, err
		}
	}
	if resolved, err := filepath.EvalSymlinks(target); err == nil {
		target = resolved
	}
	up := &upload{target: target}
	existing, statErr := os.Stat(target)
	if statErr == nil {
		if !existing.Mode().IsRegular() {
			return nil, fail("file_invalid", target+" is not a regular file")
		}
		up.keepMode, up.hasMode = existing.Mode().Perm(), true
	}
	if params.Mode != nil {
		up.keepMode, up.hasMode = params.mode(0), true
	}
	if params.Append {
		file, err := os.OpenFile(target, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, params.mode(0o644))
		up.file = file
		return up, err
	}
	temporary := filepath.Join(filepath.Dir(target), ".casemate-upload-"+strconv.FormatInt(atomic.AddInt64(&temporaryNumber, 1), 10))
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, params.mode(0o644))
	if err == nil {
		up.file, up.temporary = file, temporary
		if statErr == nil && !sameOwner(file, existing) {
			// Only the file itself may be written: a new one would belong to somebody else.
			_ = os.Remove(temporary)
			file.Close()
			err = os.ErrPermission
		}
	}
	if err != nil && os.IsPermission(err) && statErr == nil {
		up.temporary = ""
		up.file, err = os.OpenFile(target, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK, 0)
	}
	return up, err
}

func sameOwner(file *os.File, existing os.FileInfo) bool {
	made, err := file.Stat()
	if err != nil {
		return false
	}
	one, oneOk := made.Sys().(*syscall.Stat_t)
	other, otherOk := existing.Sys().(*syscall.Stat_t)
	return oneOk && otherOk && one.Uid == other.Uid
}

// finish runs with the user's rights.
func (up *upload) finish(complete bool) error {
	if !complete {
		if up.temporary != "" {
			_ = os.Remove(up.temporary)
		}
		return nil
	}
	path := up.target
	if up.temporary != "" {
		path = up.temporary
	}
	if up.hasMode {
		if err := os.Chmod(path, up.keepMode); err != nil {
			return err
		}
	}
	if up.temporary == "" {
		return nil
	}
	if err := os.Rename(up.temporary, up.target); err != nil {
		_ = os.Remove(up.temporary)
		return err
	}
	return nil
}
