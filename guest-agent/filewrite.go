package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
)

const linksFollowedMax = 40

var temporaryNumber int64

// upload is a file on its way in: the bytes go to a neighbour that takes the target's place at the end.
type upload struct {
	file   *os.File
	target string
	// temporary is empty where the bytes go into the target itself (append, or a folder that takes no new file).
	temporary string
	// mode is what the file shall have at the end; nil leaves it.
	mode *uint32
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
		up, err = a.openUpload(params)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = copyIn(s, up.file)
	var size int64
	if info, statErr := up.file.Stat(); statErr == nil {
		size = info.Size()
	}
	if closeErr := up.file.Close(); err == nil {
		err = closeErr
	}
	finishErr := a.asUser(params.User, func() error { return up.finish(err == nil) })
	if err == nil {
		err = finishErr
	}
	return map[string]int64{"size": size}, err
}

func copyIn(s *stream, file *os.File) error {
	for {
		data, err := s.read()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			_, err = file.Write(data)
		}
		if err != nil {
			return err
		}
	}
}

// openUpload runs with the user's rights.
func (a *agent) openUpload(params fileParams) (*upload, error) {
	if params.Parents {
		if err := os.MkdirAll(filepath.Dir(params.Path), 0o755); err != nil {
			return nil, err
		}
	}
	up := &upload{target: followLinks(params.Path), mode: params.Mode}
	existing, err := os.Stat(up.target)
	exists := err == nil
	if exists && !existing.Mode().IsRegular() {
		return nil, fail("file_invalid", up.target+" is not a regular file")
	}
	if params.Append {
		return up, up.openTarget(os.O_APPEND | os.O_CREATE)
	}
	err = up.openTemporary(a.boot(), existing)
	if exists && os.IsPermission(err) {
		// Only the file itself may be written: a new one cannot be made here, or would belong to somebody else.
		err = up.openTarget(os.O_TRUNC)
	}
	return up, err
}

func (up *upload) openTarget(how int) error {
	var err error
	up.temporary = ""
	up.file, err = openPlain(up.target, os.O_WRONLY|syscall.O_NONBLOCK|how, 0o644)
	return err
}

// openTemporary makes the neighbour; it gets the owner and, unless another was asked for, the mode of the old file.
func (up *upload) openTemporary(bootID string, existing os.FileInfo) error {
	number := strconv.FormatInt(atomic.AddInt64(&temporaryNumber, 1), 10)
	up.temporary = filepath.Join(filepath.Dir(up.target), ".casemate-"+bootID[:8]+"-"+number)
	file, err := openPlain(up.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil || existing == nil {
		up.file = file
		return err
	}
	if stat, ok := existing.Sys().(*syscall.Stat_t); ok {
		if up.mode == nil {
			kept := stat.Mode & 0o7777
			up.mode = &kept
		}
		err = keepOwner(file, stat)
	}
	if err != nil {
		_ = file.Close()
		_ = os.Remove(up.temporary)
		return err
	}
	up.file = file
	return nil
}

func keepOwner(file *os.File, old *syscall.Stat_t) error {
	var made syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &made); err != nil {
		return err
	}
	if made.Uid == old.Uid && made.Gid == old.Gid {
		return nil
	}
	return file.Chown(int(old.Uid), int(old.Gid))
}

// followLinks answers where a path leads, also where nothing lies there yet.
func followLinks(path string) string {
	for i := 0; i < linksFollowedMax; i++ {
		next, err := os.Readlink(path)
		if err != nil {
			return path
		}
		if !filepath.IsAbs(next) {
			next = filepath.Dir(path) + "/" + next // not cleaned: ".." behind a symlink leads elsewhere
		}
		path = next
	}
	return path
}

// finish runs with the user's rights.
func (up *upload) finish(complete bool) error {
	path := up.target
	if up.temporary != "" {
		path = up.temporary
		defer os.Remove(up.temporary) // gone already where all went well
	}
	if !complete {
		return nil
	}
	if up.mode != nil {
		if err := syscall.Chmod(path, *up.mode); err != nil {
			return err
		}
	}
	if up.temporary == "" {
		return nil
	}
	err := os.Rename(up.temporary, up.target)
	if errors.Is(err, syscall.EBUSY) {
		return copyOver(up.temporary, up.target) // the target is a mount of its own, as /etc/hosts often is
	}
	return err
}

func copyOver(from, to string) error {
	source, err := openPlain(from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openPlain(to, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if closeErr := target.Close(); err == nil {
		err = closeErr
	}
	return err
}
