package main

import (
	"os"
	"syscall"
	"unsafe"
)

type fuseOperation func(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error

var fuseOperations map[uint32]fuseOperation

func init() {
	fuseOperations = map[uint32]fuseOperation{
		fuseInit: doInit, fuseDestroy: doNothing, fuseLookup: doLookup, fuseGetattr: doGetattr, fuseSetattr: doSetattr,
		fuseReadlink: doReadlink, fuseSymlink: doSymlink, fuseMknod: doMknod, fuseMkdir: doMkdir, fuseUnlink: doUnlink,
		fuseRmdir: doRmdir, fuseRename: doRename, fuseRename2: doRename2, fuseLink: doLink, fuseOpen: doOpen,
		fuseCreate: doCreate, fuseRead: doRead, fuseWrite: doWrite, fuseStatfs: doStatfs, fuseRelease: doRelease,
		fuseFsync: doFsync, fuseFlush: doNothing, fuseOpendir: doOpendir, fuseReaddir: doReaddir,
		fuseReleasedir: doRelease, fuseFsyncdir: doFsync, fuseFallocate: doFallocate, fuseLseek: doLseek,
	}
}

func doNothing(*fuseSession, *fuseRequest, *fuseAnswer) error { return nil }

func doInit(_ *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	if r.u32(0) != fuseMajor || r.u32(4) < fuseMinor {
		return syscall.EPROTO
	}
	answer.u32(fuseMajor, fuseMinor, r.u32(8), r.u32(12)&fuseWanted)
	answer.u16(fuseAtOnceMax)
	answer.u16(fuseAtOnceMax * 3 / 4)
	answer.u32(fuseDataBytesMax, 1)
	answer.u16(fuseDataBytesMax / 4096)
	answer.u16(0)
	answer.u32(0, 0, 0, 0, 0, 0, 0, 0)
	return nil
}

// found looks a name up in an open folder, remembers it and writes it as an entry.
func (f *fuseSession) found(folder *os.File, r *fuseRequest, name string, answer *fuseAnswer) (uint64, error) {
	stat, err := statBelow(folder, name)
	if err != nil {
		return 0, err
	}
	f.nodes.remember(stat.Ino, r.node, name)
	answer.entry(stat, stat.Ino)
	return stat.Ino, nil
}

// inFolder opens the request's folder and gives it to work with the name at offset.
func (f *fuseSession) inFolder(r *fuseRequest, offset int, work func(folder *os.File, name string) error) error {
	name, err := r.name(offset)
	if err != nil {
		return err
	}
	folder, err := f.nodes.open(r.node, entered)
	if err != nil {
		return err
	}
	defer folder.Close()
	return work(folder, name)
}

func doLookup(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	return f.inFolder(r, 0, func(folder *os.File, name string) error {
		_, err := f.found(folder, r, name, answer)
		return err
	})
}

func doGetattr(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	const byHandle = 1
	if r.u32(0)&byHandle != 0 {
		file, err := f.handle(r.u64(8), r.node)
		if err != nil {
			return err
		}
		stat, err := statOf(file.File)
		answer.attr(stat, r.node)
		return err
	}
	stat, err := f.statNode(r.node)
	answer.attr(stat, r.node)
	return err
}

// doSetattr changes what the request's bits name.
func doSetattr(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	const mode, uid, gid, size, byHandle = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 6
	valid := r.u32(0)
	if len(r.body) < 88 {
		return syscall.EINVAL
	}
	file, err := f.toChange(r, valid&byHandle != 0, valid&size != 0)
	if err != nil {
		return err
	}
	defer file.close()
	if valid&(uid|gid) != 0 {
		owner, group := -1, -1
		if valid&uid != 0 {
			owner = int(r.u32(76))
		}
		if valid&gid != 0 {
			group = int(r.u32(80))
		}
		if err := syscall.Fchownat(int(file.folder.Fd()), file.name, owner, group, 0x100); err != nil {
			return err
		}
	}
	if valid&mode != 0 {
		if file.content == nil {
			return syscall.EOPNOTSUPP // a symlink, or a socket
		}
		if err := syscall.Fchmod(int(file.content.Fd()), r.u32(68)&volumeModeMax); err != nil {
			return err
		}
	}
	if valid&size != 0 {
		if file.content == nil {
			return syscall.EINVAL
		}
		if err := file.content.Truncate(int64(r.u64(16))); err != nil {
			return err
		}
	}
	if err := file.setTimes(r, valid); err != nil {
		return err
	}
	stat, err := f.statNode(r.node)
	answer.attr(stat, r.node)
	return err
}

// changing is a node by its name, and open where that can be.
type changing struct {
	folder  *os.File
	name    string
	content *os.File
	borrows bool // content is a handle's
}

func (c *changing) close() {
	_ = c.folder.Close()
	if c.content != nil && !c.borrows {
		_ = c.content.Close()
	}
}

func (f *fuseSession) toChange(r *fuseRequest, byHandle, write bool) (*changing, error) {
	c := &changing{name: "."}
	if byHandle {
		if file, err := f.handle(r.u64(8), r.node); err == nil {
			c.content, c.borrows = file.File, true
		}
	}
	if c.content == nil {
		flags := syscall.O_RDONLY
		if write {
			flags = syscall.O_WRONLY
		}
		content, err := f.openContent(r.node, flags)
		if err != nil && !isOneOf(err, syscall.EACCES) {
			return nil, err
		}
		c.content = content
	}
	folder := uint64(fuseRootID)
	if r.node != fuseRootID {
		place, known := f.nodes.place(r.node)
		if !known {
			return nil, syscall.ESTALE
		}
		folder, c.name = place.folder, place.name
	}
	var err error
	if c.folder, err = f.nodes.open(folder, entered); err != nil && c.content != nil && !c.borrows {
		_ = c.content.Close()
	}
	return c, err
}

func (c *changing) setTimes(r *fuseRequest, valid uint32) error {
	const atime, mtime, atimeNow, mtimeNow = 1 << 4, 1 << 5, 1 << 7, 1 << 8
	const now, omit = 1<<30 - 1, 1<<30 - 2
	if valid&(atime|mtime) == 0 {
		return nil
	}
	times := [2]syscall.Timespec{{Nsec: omit}, {Nsec: omit}}
	if valid&atime != 0 {
		times[0] = syscall.Timespec{Sec: int64(r.u64(32)), Nsec: int64(r.u32(56))}
	}
	if valid&mtime != 0 {
		times[1] = syscall.Timespec{Sec: int64(r.u64(40)), Nsec: int64(r.u32(60))}
	}
	if valid&atimeNow != 0 {
		times[0] = syscall.Timespec{Nsec: now}
	}
	if valid&mtimeNow != 0 {
		times[1] = syscall.Timespec{Nsec: now}
	}
	name, err := syscall.BytePtrFromString(c.name)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, c.folder.Fd(), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&times)), 0x100, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func doReadlink(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	link, err := f.nodes.open(r.node, looked)
	if err != nil {
		return err
	}
	defer link.Close()
	answer.bytes = append(answer.bytes, targetOf(link)...)
	return nil
}

// given makes a new name belong to who made it, in the guest's numbers.
func given(folder *os.File, name string, r *fuseRequest) error {
	gid := r.gid
	if stat, err := statOf(folder); err == nil && stat.Mode&syscall.S_ISGID != 0 {
		gid = -1 // the folder's, as the kernel has done
	}
	return syscall.Fchownat(int(folder.Fd()), name, r.uid, gid, 0x100)
}

// made finishes what makes a new name: its owner, and the entry.
func (f *fuseSession) made(folder *os.File, name string, r *fuseRequest, answer *fuseAnswer, err error) error {
	if err != nil {
		return err
	}
	if err := given(folder, name, r); err != nil {
		return err
	}
	_, err = f.found(folder, r, name, answer)
	return err
}

func doSymlink(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	both, err := r.names(0, 2)
	if err != nil {
		return err
	}
	return f.inFolder(r, 0, func(folder *os.File, name string) error {
		return f.made(folder, name, r, answer, symlinkBelow(both[1], folder, name))
	})
}

func doMknod(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	mode := r.u32(0)
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG, syscall.S_IFIFO, syscall.S_IFSOCK:
	default:
		return syscall.EPERM // devices
	}
	return f.inFolder(r, 16, func(folder *os.File, name string) error {
		return f.made(folder, name, r, answer, syscall.Mknodat(int(folder.Fd()), name, mode, 0))
	})
}

func doMkdir(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	return f.inFolder(r, 8, func(folder *os.File, name string) error {
		return f.made(folder, name, r, answer, syscall.Mkdirat(int(folder.Fd()), name, r.u32(0)&volumeModeMax))
	})
}

func doUnlink(f *fuseSession, r *fuseRequest, _ *fuseAnswer) error {
	return f.inFolder(r, 0, func(folder *os.File, name string) error { return unlinkBelow(folder, name, 0) })
}

func doRmdir(f *fuseSession, r *fuseRequest, _ *fuseAnswer) error {
	return f.inFolder(r, 0, func(folder *os.File, name string) error { return unlinkBelow(folder, name, atRemoveDir) })
}

func doRename(f *fuseSession, r *fuseRequest, _ *fuseAnswer) error { return f.rename(r, 8, 0) }
func doRename2(f *fuseSession, r *fuseRequest, _ *fuseAnswer) error {
	return f.rename(r, 16, r.u32(8))
}

func (f *fuseSession) rename(r *fuseRequest, offset int, flags uint32) error {
	const noReplace, exchange = 1, 2
	if flags&^(noReplace|exchange) != 0 {
		return syscall.EINVAL
	}
	both, err := r.names(offset, 2)
	if err != nil {
		return err
	}
	newName, err := soundName(both[1])
	if err != nil {
		return err
	}
	target := r.u64(0)
	to, err := f.nodes.open(target, entered)
	if err != nil {
		return err
	}
	defer to.Close()
	return f.inFolder(r, offset, func(from *os.File, name string) error {
		if err := renameBelow(from, name, to, newName, flags); err != nil {
			return err
		}
		if stat, err := statBelow(to, newName); err == nil {
			f.nodes.remember(stat.Ino, target, newName)
		}
		if stat, err := statBelow(from, name); err == nil && flags&exchange != 0 {
			f.nodes.remember(stat.Ino, r.node, name)
		}
		return nil
	})
}

func renameBelow(from *os.File, name string, to *os.File, newName string, flags uint32) error {
	old, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	text, err := syscall.BytePtrFromString(newName)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall6(sysRenameat2, from.Fd(), uintptr(unsafe.Pointer(old)), to.Fd(),
		uintptr(unsafe.Pointer(text)), uintptr(flags), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// doLink gives a node another name. The old name is looked at again: another file may have it by now.
func doLink(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	node := r.u64(0)
	place, known := f.nodes.place(node)
	if !known {
		return syscall.ESTALE
	}
	from, err := f.nodes.open(place.folder, entered)
	if err != nil {
		return err
	}
	defer from.Close()
	if stat, err := statBelow(from, place.name); err != nil || stat.Ino != node {
		return syscall.ESTALE
	}
	return f.inFolder(r, 8, func(folder *os.File, name string) error {
		if err := linkBelow(from, place.name, folder, name); err != nil {
			return err
		}
		_, err := f.found(folder, r, name, answer)
		return err
	})
}
