package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const listDepthMax = 32

// entry describes a file of the sandbox.
type entry struct {
	Path           string `json:"path"`
	Name           string `json:"name"`
	Type           string `json:"type"`
	Size           int64  `json:"size"`
	Mode           uint32 `json:"mode"`
	UID            uint32 `json:"uid"`
	GID            uint32 `json:"gid"`
	User           string `json:"user,omitempty"`
	ModifiedUnixMs int64  `json:"modifiedUnixMs"`
	Target         string `json:"target,omitempty"`
}

type fileParams struct {
	Path      string `json:"path"`
	User      string `json:"user"`
	Mode      *int   `json:"mode"`
	Parents   bool   `json:"parents"`
	Recursive bool   `json:"recursive"`
	Append    bool   `json:"append"`
	Depth     int    `json:"depth"`
	Offset    int64  `json:"offset"`
	Length    *int64 `json:"length"`
	From      string `json:"from"`
	To        string `json:"to"`
}

// fileCall decodes parameters and makes paths absolute: relative ones start in the user's home.
func (a *agent) fileCall(raw json.RawMessage) (fileParams, error) {
	var params fileParams
	if err := decode(raw, &params); err != nil {
		return params, err
	}
	user, err := a.userOr(params.User)
	if err != nil {
		return params, fail("file_denied", err.Error())
	}
	for _, path := range []*string{&params.Path, &params.From, &params.To} {
		if len(*path) > 4096 {
			return params, fail("file_invalid", "the path is too long")
		}
		for i := 0; i < len(*path); i++ {
			if (*path)[i] == 0 {
				return params, fail("file_invalid", "the path holds a null byte")
			}
		}
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(user.home, *path)
		}
	}
	if params.Path == "" && (params.From == "" || params.To == "") {
		return params, fail("file_invalid", "no path given")
	}
	return params, nil
}

func (p fileParams) mode(otherwise fs.FileMode) fs.FileMode {
	if p.Mode == nil {
		return otherwise
	}
	return fs.FileMode(*p.Mode) & 0o777
}

func (a *agent) describe(path string) (entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return entry{}, err
	}
	e := entry{Path: path, Name: filepath.Base(path), Type: "other", Size: info.Size(), ModifiedUnixMs: info.ModTime().UnixMilli()}
	switch {
	case info.Mode().IsRegular():
		e.Type = "file"
	case info.IsDir():
		e.Type = "directory"
	case info.Mode()&fs.ModeSymlink != 0:
		e.Type = "symlink"
		e.Target, _ = os.Readlink(path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Mode, e.UID, e.GID = stat.Mode&0o7777, stat.Uid, stat.Gid
		e.User = a.users.nameOf(int(stat.Uid))
	}
	return e, nil
}

// entryOf does work as the user and describes path afterwards.
func (a *agent) entryOf(params fileParams, path string, work func() error) (interface{}, error) {
	var result entry
	err := a.asUser(params.User, func() error {
		if err := work(); err != nil {
			return err
		}
		var err error
		result, err = a.describe(path)
		return err
	})
	return result, err
}

func (a *agent) fileStat(_ *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	return a.entryOf(params, params.Path, func() error { return nil })
}

func (a *agent) fileMkdir(_ *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	return a.entryOf(params, params.Path, func() error {
		if params.Parents {
			return os.MkdirAll(params.Path, params.mode(0o755))
		}
		return os.Mkdir(params.Path, params.mode(0o755))
	})
}

func (a *agent) fileMove(_ *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	return a.entryOf(params, params.To, func() error { return os.Rename(params.From, params.To) })
}

func (a *agent) fileRemove(_ *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	return nil, a.asUser(params.User, func() error {
		if _, err := os.Lstat(params.Path); err != nil {
			return err
		}
		if params.Recursive {
			return os.RemoveAll(params.Path)
		}
		return os.Remove(params.Path)
	})
}

// fileList sends the entries below a directory, as many in a message as fit; symlinks are not followed.
func (a *agent) fileList(s *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	if params.Depth < 1 || params.Depth > listDepthMax {
		return nil, fail("invalid_request", "depth is 1 to 32")
	}
	batch, size := []entry{}, 0
	flush := func() error {
		err := s.message(map[string]interface{}{"entries": batch})
		batch, size = batch[:0], 0
		return err
	}
	var walk func(directory string, depth int) error
	walk = func(directory string, depth int) error {
		children, err := os.ReadDir(directory)
		if err != nil {
			return err
		}
		for _, child := range children {
			e, err := a.describe(filepath.Join(directory, child.Name()))
			if err != nil {
				continue // removed meanwhile
			}
			batch, size = append(batch, e), size+len(e.Path)*7+len(e.Target)*6+400
			if size > messageBytesMax/2 {
				if err := flush(); err != nil {
					return err
				}
			}
			if e.Type == "directory" && depth > 1 {
				_ = walk(e.Path, depth-1) // what cannot be read is listed without its inside
			}
		}
		return nil
	}
	err = a.asUser(params.User, func() error { return walk(params.Path, params.Depth) })
	if err == nil {
		err = flush()
	}
	return nil, err
}

// fileRead streams a regular file, or what a /proc file says; devices and pipes are refused.
func (a *agent) fileRead(s *stream, raw json.RawMessage) (interface{}, error) {
	params, err := a.fileCall(raw)
	if err != nil {
		return nil, err
	}
	var file *os.File
	err = a.asUser(params.User, func() error {
		var err error
		file, err = os.OpenFile(params.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fail("file_invalid", params.Path+" is not a regular file")
	}
	if params.Offset < 0 || params.Offset > info.Size() && info.Size() > 0 {
		return nil, fail("file_invalid", "the offset lies behind the end of the file")
	}
	if _, err := file.Seek(params.Offset, io.SeekStart); err != nil && params.Offset > 0 {
		return nil, err
	}
	length := info.Size() - params.Offset
	if params.Length != nil && *params.Length < length {
		length = *params.Length
	}
	var source io.Reader = file
	if info.Size() > 0 || params.Length != nil {
		source = io.LimitReader(file, length)
	}
	if err := s.message(map[string]int64{"size": info.Size(), "offset": params.Offset, "length": length}); err != nil {
		return nil, err
	}
	buffer := make([]byte, 2*protoPayloadBytesMax)
	for {
		n, err := io.ReadFull(source, buffer)
		if n > 0 {
			if err := s.write(0, buffer[:n], false); err != nil {
				return nil, err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, s.write(0, nil, true)
		}
		if err != nil {
			return nil, err
		}
	}
}
