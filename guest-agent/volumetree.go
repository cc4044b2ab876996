package main

import (
	"os"
	"path"
	"strings"
	"syscall"
	"unsafe"
)

// volumeTree is a folder whose content is hostile and changes while it is looked at. Paths are taken below it by the
// kernel, in one step: no symlink is followed, no other mount entered, nothing leads out.
type volumeTree struct {
	root *os.File
}

const (
	openPath = 0x200000 // O_PATH
	// RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH
	resolveBeneath = 0x01 | 0x02 | 0x04 | 0x08
	atRemoveDir    = 0x200
	nameBytesMax   = 255
	looked         = openPath | syscall.O_NOFOLLOW
	entered        = syscall.O_RDONLY | syscall.O_DIRECTORY | syscall.O_NOFOLLOW
)

type openHow struct{ flags, mode, resolve uint64 }

// volumePath makes a client's path one below the volume: "" is the volume itself.
func volumePath(given string) (string, error) {
	if len(given) > pathBytesMax || strings.IndexByte(given, 0) >= 0 {
		return "", fail("file_invalid", "the path is too long, or holds a null byte")
	}
	var parts []string
	for _, part := range strings.Split(given, "/") {
		switch {
		case part == "..":
			return "", fail("file_invalid", "a path in a volume has no \"..\"")
		case len(part) > nameBytesMax:
			return "", fail("file_invalid", "a name has 255 bytes at most")
		case part != "" && part != ".":
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

// open opens what lies at a clean path; the caller closes it.
func (t volumeTree) open(clean string, flags int) (*os.File, error) {
	if clean == "" {
		clean = "."
	}
	name, err := syscall.BytePtrFromString(clean)
	if err != nil {
		return nil, err
	}
	how := openHow{flags: uint64(flags | syscall.O_CLOEXEC), resolve: resolveBeneath}
	for {
		fd, _, errno := syscall.Syscall6(sysOpenat2, t.root.Fd(), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		switch errno {
		case 0:
			return os.NewFile(fd, clean), nil
		case syscall.EINTR, syscall.EAGAIN: // something was renamed just then
		case syscall.ELOOP, syscall.EXDEV:
			return nil, fail("file_invalid", "/"+clean+": a symlink, or one on the way; none is followed in a volume")
		default:
			if errno == syscall.ENOTDIR && flags&syscall.O_DIRECTORY != 0 {
				if other, err := t.open(clean, looked); err == nil {
					_ = other.Close()
					return nil, fail("file_invalid", "/"+clean+" is no folder; symlinks are not followed in a volume")
				}
			}
			return nil, &os.PathError{Op: "open", Path: "/" + clean, Err: errno}
		}
	}
}

// parent opens the folder in which a path lies and answers the name in it. Missing folders are made where make is given.
func (t volumeTree) parent(clean string, make func(at *os.File, name string) error) (*os.File, string, error) {
	if clean == "" {
		return nil, "", fail("file_invalid", "that is the volume itself")
	}
	folder, name := path.Split(clean)
	folder = strings.TrimSuffix(folder, "/")
	at, err := t.open(folder, entered)
	if err == nil || make == nil || folder == "" || !os.IsNotExist(err) {
		return at, name, err
	}
	above, missing, err := t.parent(folder, make)
	if err != nil {
		return nil, "", err
	}
	defer above.Close()
	if err := make(above, missing); err != nil && err != syscall.EEXIST {
		return nil, "", err
	}
	at, err = t.open(folder, entered)
	return at, name, err
}

// below opens a name in an open folder, never through a symlink.
func below(at *os.File, name string, flags int) (*os.File, error) {
	fd, err := syscall.Openat(int(at.Fd()), name, flags|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func statOf(file *os.File) (syscall.Stat_t, error) {
	var stat syscall.Stat_t
	err := syscall.Fstat(int(file.Fd()), &stat)
	return stat, err
}

// statBelow describes a name in an open folder.
func statBelow(at *os.File, name string) (syscall.Stat_t, error) {
	file, err := below(at, name, looked)
	if err != nil {
		return syscall.Stat_t{}, err
	}
	defer file.Close()
	return statOf(file)
}

func fileKind(stat syscall.Stat_t) string {
	switch stat.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return "file"
	case syscall.S_IFDIR:
		return "directory"
	case syscall.S_IFLNK:
		return "symlink"
	}
	return "other"
}

// targetOf reads the symlink that an O_PATH descriptor is.
func targetOf(link *os.File) string {
	buffer := make([]byte, pathBytesMax)
	empty := [1]byte{}
	n, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, link.Fd(), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)), 0, 0)
	if errno != 0 {
		return ""
	}
	return string(buffer[:n])
}

func unlinkBelow(at *os.File, name string, flags int) error {
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_UNLINKAT, at.Fd(), uintptr(unsafe.Pointer(text)), uintptr(flags)); errno != 0 {
		return errno
	}
	return nil
}

func symlinkBelow(target string, at *os.File, name string) error {
	to, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(to)), at.Fd(), uintptr(unsafe.Pointer(text)))
	if errno != 0 {
		return errno
	}
	return nil
}

// linkBelow gives a file another name; a symlink is not followed.
func linkBelow(from *os.File, name string, to *os.File, newName string) error {
	old, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	text, err := syscall.BytePtrFromString(newName)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_LINKAT, from.Fd(), uintptr(unsafe.Pointer(old)), to.Fd(),
		uintptr(unsafe.Pointer(text)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// sync writes all of the volume to the disk.
func (t volumeTree) sync() error {
	if _, _, errno := syscall.Syscall(sysSyncfs, t.root.Fd(), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
