package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const pathBytesMax = 4096

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
	Group          string `json:"group,omitempty"`
	ModifiedUnixMs int64  `json:"modifiedUnixMs"`
	Target         string `json:"target,omitempty"`
}

type fileParams struct {
	Path      string  `json:"path"`
	User      string  `json:"user"`
	Mode      *uint32 `json:"mode"`
	Parents   bool    `json:"parents"`
	Recursive bool    `json:"recursive"`
	Append    bool    `json:"append"`
	Depth     int     `json:"depth"`
	Offset    int64   `json:"offset"`
	Length    *int64  `json:"length"`
	From      string  `json:"from"`
	To        string  `json:"to"`
}

// fileCall decodes parameters and makes paths absolute: relative ones start in the user's home.
func (a *agent) fileCall(raw json.RawMessage) (fileParams, error) {
	var params fileParams
	if err := decode(raw, &params); err != nil {
		return params, err
	}
	user, err := a.userOr(params.User)
	if err != nil {
		return params, err
	}
	if params.Path == "" && (params.From == "" || params.To == "") {
		return params, fail("invalid_request", "no path given")
	}
	if params.Mode != nil && *params.Mode > 0o7777 {
		return params, fail("invalid_request", "mode is at most octal 7777")
	}
	for _, path := range []*string{&params.Path, &params.From, &params.To} {
		if len(*path) > pathBytesMax || strings.IndexByte(*path, 0) >= 0 {
			return params, fail("file_invalid", "the path is too long, or holds a null byte")
		}
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(user.home, *path)
		}
	}
	return params, nil
}

func (p fileParams) modeOr(otherwise uint32) uint32 {
	if p.Mode == nil {
		return otherwise
	}
	return *p.Mode
}

// describe answers what lies at a path; a symlink is not followed.
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
		e.User, e.Group = a.users.names(int(stat.Uid), int(stat.Gid))
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
	return a.entryOf(params, params.Path, params.makeDirectory)
}

// makeDirectory gives exactly the mode asked for; with parents a directory that is there already stays as it is.
func (p fileParams) makeDirectory() error {
	if p.Parents {
		if err := os.MkdirAll(filepath.Dir(p.Path), 0o755); err != nil {
			return err
		}
	}
	err := syscall.Mkdir(p.Path, p.modeOr(0o755))
	if err != nil && p.Parents {
		if info, statErr := os.Stat(p.Path); statErr == nil && info.IsDir() {
			return nil
		}
	}
	if err != nil || p.Mode == nil {
		return err
	}
	return syscall.Chmod(p.Path, *p.Mode)
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
