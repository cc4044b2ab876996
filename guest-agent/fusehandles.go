package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"syscall"
)

// openFlags are those that mean something on this side.
func (f *fuseSession) openFlags(given uint32) (int, error) {
	flags := int(given) & (syscall.O_ACCMODE | syscall.O_APPEND | syscall.O_TRUNC)
	if f.readOnly && (flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0) {
		return 0, syscall.EROFS
	}
	return flags, nil
}

func (f *fuseSession) opened(file *os.File, node uint64, flags int, folder bool, answer *fuseAnswer) error {
	handle, err := f.keep(file, node, flags, folder)
	if err != nil {
		return err
	}
	answer.u64(handle)
	answer.u32(0, 0)
	return nil
}

func doOpen(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	flags, err := f.openFlags(r.u32(0))
	if err != nil {
		return err
	}
	file, err := f.openContent(r.node, flags)
	if err != nil {
		return err
	}
	return f.opened(file, r.node, flags, false, answer)
}

func doOpendir(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	folder, err := f.nodes.open(r.node, entered)
	if err != nil {
		return err
	}
	return f.opened(folder, r.node, 0, true, answer)
}

func doCreate(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	flags, err := f.openFlags(r.u32(0))
	if err != nil {
		return err
	}
	exclusive := int(r.u32(0)) & syscall.O_EXCL
	return f.inFolder(r, 16, func(folder *os.File, name string) error {
		how := flags | syscall.O_CREAT | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
		fd, err := syscall.Openat(int(folder.Fd()), name, how|syscall.O_EXCL, r.u32(4)&volumeModeMax)
		fresh := err == nil
		if err == syscall.EEXIST && exclusive == 0 {
			fd, err = syscall.Openat(int(folder.Fd()), name, how&^syscall.O_CREAT, 0)
		}
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), name)
		if stat, err := statOf(file); err != nil || fileKind(stat) != "file" {
			_ = file.Close()
			return syscall.EACCES
		}
		if fresh {
			if err := given(folder, name, r); err != nil {
				_ = file.Close()
				return err
			}
		}
		node, err := f.found(folder, r, name, answer)
		if err != nil {
			_ = file.Close()
			return err
		}
		return f.opened(file, node, flags, false, answer)
	})
}

func doRead(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	file, err := f.handle(r.u64(0), r.node)
	if err != nil {
		return err
	}
	size := r.u32(16)
	if size > fuseDataBytesMax {
		return syscall.EINVAL
	}
	data := make([]byte, size)
	n, err := syscall.Pread(int(file.Fd()), data, int64(r.u64(8)))
	if err != nil {
		return err
	}
	answer.bytes = append(answer.bytes, data[:n]...)
	return nil
}

func doWrite(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	const headBytes = 40
	file, err := f.handle(r.u64(0), r.node)
	if err != nil {
		return err
	}
	if len(r.body) < headBytes || uint32(len(r.body)-headBytes) < r.u32(16) {
		return syscall.EINVAL
	}
	// A file that was opened to append does so here, wherever its guest believes its end to be.
	n, err := syscall.Pwrite(int(file.Fd()), r.body[headBytes:headBytes+int(r.u32(16))], int64(r.u64(8)))
	if err != nil {
		return err
	}
	answer.u32(uint32(n), 0)
	return nil
}

func doStatfs(f *fuseSession, _ *fuseRequest, answer *fuseAnswer) error {
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.nodes.tree.root.Fd()), &s); err != nil {
		return err
	}
	answer.u64(s.Blocks, s.Bfree, s.Bavail, s.Files, s.Ffree)
	answer.u32(uint32(s.Bsize), uint32(s.Namelen), uint32(s.Frsize), 0, 0, 0, 0, 0, 0, 0)
	return nil
}

func doRelease(f *fuseSession, r *fuseRequest, _ *fuseAnswer) error {
	f.release(r.u64(0))
	return nil
}

// doFsync answers when the file, or the folder's names, are on the disk of the host.
func doFsync(f *fuseSession, r *fuseRequest, _ *fuseAnswer) error {
	file, err := f.handle(r.u64(0), r.node)
	if err != nil {
		return err
	}
	return file.Sync()
}

func doReaddir(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	const headBytes, typeAt, nameAt = 24, 18, 19
	folder, err := f.handle(r.u64(0), r.node)
	if err != nil {
		return err
	}
	folder.mu.Lock()
	defer folder.mu.Unlock()
	if _, err := syscall.Seek(int(folder.Fd()), int64(r.u64(8)), 0); err != nil {
		return err
	}
	room := int(r.u32(16))
	if room > fuseDataBytesMax {
		return syscall.EINVAL
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := syscall.ReadDirent(int(folder.Fd()), buffer)
		if err != nil || n <= 0 {
			return err
		}
		for rest := buffer[:n]; len(rest) >= nameAt; {
			length := int(binary.LittleEndian.Uint16(rest[16:]))
			name := rest[nameAt:length]
			name = name[:bytes.IndexByte(name, 0)]
			padded := (headBytes + len(name) + 7) &^ 7
			if len(answer.bytes)-fuseOutHeaderBytes+padded > room {
				return nil
			}
			answer.bytes = append(answer.bytes, rest[:16]...)
			answer.u32(uint32(len(name)), uint32(rest[typeAt]))
			answer.bytes = append(answer.bytes, name...)
			answer.bytes = append(answer.bytes, make([]byte, padded-headBytes-len(name))...)
			rest = rest[length:]
		}
	}
}

func doFallocate(f *fuseSession, r *fuseRequest, _ *fuseAnswer) error {
	file, err := f.handle(r.u64(0), r.node)
	if err != nil {
		return err
	}
	return syscall.Fallocate(int(file.Fd()), r.u32(24), int64(r.u64(8)), int64(r.u64(16)))
}

func doLseek(f *fuseSession, r *fuseRequest, answer *fuseAnswer) error {
	const data, hole = 3, 4
	if whence := r.u32(16); whence != data && whence != hole {
		return syscall.EINVAL
	}
	file, err := f.handle(r.u64(0), r.node)
	if err != nil {
		return err
	}
	file.mu.Lock()
	defer file.mu.Unlock()
	at, err := syscall.Seek(int(file.Fd()), int64(r.u64(8)), int(r.u32(16)))
	answer.u64(uint64(at))
	return err
}
