package main

import (
	"encoding/json"
	"io"
	"os"
	"path"
	"sort"
	"strconv"
	"sync/atomic"
	"syscall"
)

// volumeFiles answers the calls of clients that have no sandbox. It has the rights of the volume's root, whatever the
// sandboxes' users may do, and gives new files to the user that every template has.
type volumeFiles struct {
	volumeTree
}

const (
	// uploadFolder, in the volume's root, holds files on their way in; what a crash left in it goes at the next start.
	uploadFolder  = ".casemate-upload"
	volumeUserID  = 1000
	volumeModeMax = 0o7777
)

type volumeParams struct {
	Path      string  `json:"path"`
	From      string  `json:"from"`
	To        string  `json:"to"`
	Mode      *uint32 `json:"mode"`
	UID       *int    `json:"uid"`
	GID       *int    `json:"gid"`
	Parents   bool    `json:"parents"`
	Recursive bool    `json:"recursive"`
	Depth     int     `json:"depth"`
	Offset    int64   `json:"offset"`
	Length    *int64  `json:"length"`
}

func openVolume(folder string) (*volumeFiles, error) {
	root, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	files := &volumeFiles{volumeTree{root}}
	files.clearUploads()
	return files, nil
}

// clearUploads takes what is in the folder of uploads away; a sandbox may have laid anything there.
func (v *volumeFiles) clearUploads() {
	if stat, err := statBelow(v.root, uploadFolder); err == nil && fileKind(stat) == "directory" {
		_ = removeTree(v.root, uploadFolder, func() bool { return true })
	}
}

// volumeCall is the handler of a call that takes checked parameters.
func volumeCall(answer func(*stream, volumeParams) (interface{}, error)) handler {
	return func(s *stream, raw json.RawMessage) (interface{}, error) {
		params, err := volumeParamsOf(raw)
		if err != nil {
			return nil, err
		}
		return answer(s, params)
	}
}

func volumeParamsOf(raw json.RawMessage) (volumeParams, error) {
	var params volumeParams
	if err := decode(raw, &params); err != nil {
		return params, err
	}
	for _, given := range []*string{&params.Path, &params.From, &params.To} {
		clean, err := volumePath(*given)
		if err != nil {
			return params, err
		}
		*given = clean
	}
	if params.Mode != nil && *params.Mode > volumeModeMax {
		return params, fail("invalid_request", "mode is at most octal 7777")
	}
	for _, id := range []*int{params.UID, params.GID} {
		if id != nil && (*id < 0 || *id >= jailUsers) {
			return params, fail("invalid_request", "uid and gid lie below "+strconv.Itoa(jailUsers))
		}
	}
	return params, nil
}

func (p volumeParams) owner(uid, gid int) (int, int) {
	if p.UID != nil {
		uid = *p.UID
	}
	if p.GID != nil {
		gid = *p.GID
	}
	return uid, gid
}

// entryOfVolume describes what is open; its path begins with a slash, the volume's root is "/".
func entryOfVolume(file *os.File, clean string) (entry, error) {
	stat, err := statOf(file)
	if err != nil {
		return entry{}, err
	}
	e := entry{Path: "/" + clean, Name: path.Base("/" + clean), Type: fileKind(stat), Size: stat.Size,
		Mode: stat.Mode & volumeModeMax, UID: stat.Uid, GID: stat.Gid,
		ModifiedUnixMs: stat.Mtim.Sec*1000 + stat.Mtim.Nsec/1_000_000}
	if e.Type == "symlink" {
		e.Target = targetOf(file)
	}
	return e, nil
}

func (v *volumeFiles) describe(clean string) (interface{}, error) {
	file, err := v.open(clean, looked)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return entryOfVolume(file, clean)
}

func (v *volumeFiles) stat(_ *stream, params volumeParams) (interface{}, error) {
	return v.describe(params.Path)
}

func (v *volumeFiles) list(s *stream, params volumeParams) (interface{}, error) {
	if params.Depth < 1 || params.Depth > listDepthMax {
		return nil, fail("invalid_request", "depth is 1 to 32")
	}
	folder, err := v.open(params.Path, entered)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	l := &listing{stream: s}
	if err := v.walk(l, folder, params.Path, params.Depth); err != nil {
		return nil, err
	}
	return nil, l.flush()
}

func (v *volumeFiles) walk(l *listing, folder *os.File, clean string, depth int) error {
	for {
		names, err := folder.Readdirnames(namesAtOnce)
		sort.Strings(names)
		for _, name := range names {
			if clean == "" && name == uploadFolder {
				continue
			}
			if err := v.listOne(l, folder, name, path.Join(clean, name), depth); err != nil {
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

func (v *volumeFiles) listOne(l *listing, folder *os.File, name, clean string, depth int) error {
	file, err := below(folder, name, looked)
	if err != nil {
		return nil // removed meanwhile
	}
	e, err := entryOfVolume(file, clean)
	_ = file.Close()
	if err != nil {
		return nil
	}
	if err := l.send(e); err != nil || e.Type != "directory" || depth <= 1 {
		return err
	}
	inner, err := below(folder, name, entered)
	if err != nil {
		return nil // another thing by now: listed without its inside
	}
	defer inner.Close()
	if err := v.walk(l, inner, clean, depth-1); err == errGone {
		return err
	}
	return nil
}

func (v *volumeFiles) mkdir(_ *stream, params volumeParams) (interface{}, error) {
	at, name, err := v.parent(params.Path, params.maker())
	if err != nil {
		return nil, err
	}
	defer at.Close()
	uid, gid := params.owner(volumeUserID, volumeUserID)
	mode := uint32(0o755)
	if params.Mode != nil {
		mode = *params.Mode
	}
	err = makeFolder(at, name, mode, uid, gid)
	if err == syscall.EEXIST && params.Parents {
		if stat, statErr := statBelow(at, name); statErr == nil && fileKind(stat) == "directory" {
			err = nil
		}
	}
	if err == nil {
		err = at.Sync()
	}
	if err != nil {
		return nil, err
	}
	return v.describe(params.Path)
}

// maker makes missing folders above a path, where that is wanted.
func (p volumeParams) maker() func(*os.File, string) error {
	if !p.Parents {
		return nil
	}
	uid, gid := p.owner(volumeUserID, volumeUserID)
	return func(at *os.File, name string) error { return makeFolder(at, name, 0o755, uid, gid) }
}

func makeFolder(at *os.File, name string, mode uint32, uid, gid int) error {
	if err := syscall.Mkdirat(int(at.Fd()), name, 0o700); err != nil {
		return err
	}
	made, err := below(at, name, entered)
	if err != nil {
		return err
	}
	defer made.Close()
	return giveTo(made, mode, uid, gid)
}

// giveTo sets the owner first: that takes set-id bits away.
func giveTo(file *os.File, mode uint32, uid, gid int) error {
	if err := syscall.Fchown(int(file.Fd()), uid, gid); err != nil {
		return err
	}
	return syscall.Fchmod(int(file.Fd()), mode)
}

func (v *volumeFiles) move(_ *stream, params volumeParams) (interface{}, error) {
	from, name, err := v.parent(params.From, nil)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, newName, err := v.parent(params.To, nil)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	if err := syscall.Renameat(int(from.Fd()), name, int(to.Fd()), newName); err != nil {
		return nil, err
	}
	if err := to.Sync(); err != nil {
		return nil, err
	}
	if err := from.Sync(); err != nil {
		return nil, err
	}
	return v.describe(params.To)
}

func (v *volumeFiles) remove(s *stream, params volumeParams) (interface{}, error) {
	at, name, err := v.parent(params.Path, nil)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if params.Recursive {
		err = removeTree(at, name, s.wanted)
	} else if err = unlinkBelow(at, name, 0); err == syscall.EISDIR {
		err = unlinkBelow(at, name, atRemoveDir)
	}
	if err != nil {
		return nil, &os.PathError{Op: "remove", Path: "/" + params.Path, Err: err}
	}
	return nil, at.Sync()
}

// wanted says whether the host still waits for an answer.
func (s *stream) wanted() bool {
	select {
	case <-s.gone:
		return false
	default:
		return true
	}
}

// change gives a file or a folder another owner or mode.
func (v *volumeFiles) change(_ *stream, params volumeParams) (interface{}, error) {
	file, stat, err := v.openContent(params.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	uid, gid := params.owner(int(stat.Uid), int(stat.Gid))
	mode := stat.Mode & volumeModeMax
	if params.Mode != nil {
		mode = *params.Mode
	}
	if err := giveTo(file, mode, uid, gid); err != nil {
		return nil, err
	}
	if err := file.Sync(); err != nil {
		return nil, err
	}
	return entryOfVolume(file, params.Path)
}

// openContent opens a regular file or a folder. Nothing else is opened even for a moment: somebody may wait at a pipe.
func (v *volumeFiles) openContent(clean string) (*os.File, syscall.Stat_t, error) {
	seen, err := v.open(clean, looked)
	if err != nil {
		return nil, syscall.Stat_t{}, err
	}
	stat, err := statOf(seen)
	_ = seen.Close()
	if err != nil {
		return nil, stat, err
	}
	if kind := fileKind(stat); kind != "file" && kind != "directory" {
		return nil, stat, fail("file_invalid", "/"+clean+" is neither a file nor a folder")
	}
	file, err := v.open(clean, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW)
	if err != nil {
		return nil, stat, err
	}
	if stat, err = statOf(file); err == nil && fileKind(stat) != "file" && fileKind(stat) != "directory" {
		err = fail("file_invalid", "/"+clean+" became something else")
	}
	if err != nil {
		_ = file.Close()
		return nil, stat, err
	}
	return file, stat, nil
}

func (v *volumeFiles) read(s *stream, params volumeParams) (interface{}, error) {
	if params.Offset < 0 || params.Length != nil && *params.Length < 0 {
		return nil, fail("invalid_request", "offset and length are not negative")
	}
	file, stat, err := v.openContent(params.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if fileKind(stat) != "file" {
		return nil, fail("file_invalid", "/"+params.Path+" is a folder")
	}
	length := stat.Size - params.Offset
	if length < 0 {
		length = 0
	}
	if params.Length != nil && *params.Length < length {
		length = *params.Length
	}
	if err := s.message(map[string]int64{"size": stat.Size, "offset": params.Offset, "length": length}); err != nil {
		return nil, err
	}
	return nil, copyOut(s, io.NewSectionReader(file, params.Offset, length))
}

// write takes a file from the host. It is there whole, and on the disk, when this answers; half an upload leaves what was.
func (v *volumeFiles) write(s *stream, params volumeParams) (interface{}, error) {
	at, name, err := v.parent(params.Path, params.maker())
	if err != nil {
		return nil, err
	}
	defer at.Close()
	uid, gid, mode := volumeUserID, volumeUserID, uint32(0o644)
	if stat, err := statBelow(at, name); err == nil {
		if fileKind(stat) != "file" {
			return nil, fail("file_invalid", "/"+params.Path+" is not a regular file")
		}
		uid, gid, mode = int(stat.Uid), int(stat.Gid), stat.Mode&volumeModeMax
	}
	uid, gid = params.owner(uid, gid)
	if params.Mode != nil {
		mode = *params.Mode
	}
	up, err := v.upload()
	if err != nil {
		return nil, err
	}
	defer up.discard()
	if err := copyIn(s, up.file); err != nil {
		return nil, err
	}
	stat, err := statOf(up.file)
	if err != nil {
		return nil, err
	}
	if err := up.place(at, name, mode, uid, gid); err != nil {
		return nil, err
	}
	return map[string]int64{"size": stat.Size}, at.Sync()
}

// volumeUpload is a file that has no place yet.
type volumeUpload struct {
	volume *volumeFiles
	folder *os.File
	name   string
	file   *os.File
}

var uploadNumber int64

func (v *volumeFiles) upload() (*volumeUpload, error) {
	name := strconv.FormatInt(atomic.AddInt64(&uploadNumber, 1), 36)
	for {
		err := syscall.Mkdirat(int(v.root.Fd()), uploadFolder, 0o700)
		if err != nil && err != syscall.EEXIST {
			return nil, err
		}
		folder, err := below(v.root, uploadFolder, entered)
		if os.IsNotExist(err) {
			continue // another upload was the last one just now
		}
		if err != nil {
			return nil, fail("file_invalid", "/"+uploadFolder+", where uploads wait, is no folder: remove it")
		}
		fd, err := syscall.Openat(int(folder.Fd()), name, syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC|
			syscall.O_NOFOLLOW, 0o600)
		if err == nil {
			return &volumeUpload{v, folder, name, os.NewFile(uintptr(fd), name)}, nil
		}
		_ = folder.Close()
		if err != syscall.ENOENT {
			_ = unlinkBelow(v.root, uploadFolder, atRemoveDir)
			return nil, &os.PathError{Op: "write", Path: "/" + uploadFolder, Err: err}
		}
	}
}

// place gives the file its name, in one step, when all of it is on the disk.
func (u *volumeUpload) place(at *os.File, name string, mode uint32, uid, gid int) error {
	if err := giveTo(u.file, mode, uid, gid); err != nil {
		return err
	}
	if err := u.file.Sync(); err != nil {
		return err
	}
	return u.rename(at, name)
}

func (u *volumeUpload) rename(at *os.File, name string) error {
	err := syscall.Renameat(int(u.folder.Fd()), u.name, int(at.Fd()), name)
	if err == nil {
		u.name = ""
	}
	return err
}

// discard lets go of it, and of the folder of uploads with the last one.
func (u *volumeUpload) discard() {
	_ = u.file.Close()
	if u.name != "" {
		_ = unlinkBelow(u.folder, u.name, 0)
	}
	_ = u.folder.Close()
	_ = unlinkBelow(u.volume.root, uploadFolder, atRemoveDir)
}
