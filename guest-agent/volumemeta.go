package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	// xattrRecord is what an extended attribute's name is preceded by in an archive, as GNU tar and libarchive do it.
	xattrRecord = "SCHILY.xattr."
	// xattrKept: attributes of the kernel's other classes carry rights, and are neither given out nor taken.
	xattrKept = "user."
	// xattrBytesMax is far more than a volume's file system holds for one file.
	xattrBytesMax = 64 * 1024
	// holeBytes is the smallest block of a volume's file system.
	holeBytes  = 1024
	atNoFollow = 0x100 // AT_SYMLINK_NOFOLLOW
)

// xattrsOf reads what an open file's or folder's user has attached to it, as records of an archive. A name with "=" in it
// cannot be one.
func xattrsOf(file *os.File) map[string]string {
	names := make([]byte, xattrBytesMax)
	n, _, errno := syscall.Syscall(syscall.SYS_FLISTXATTR, file.Fd(), uintptr(unsafe.Pointer(&names[0])), xattrBytesMax)
	if errno != 0 || n == 0 {
		return nil
	}
	records := map[string]string{}
	value := make([]byte, xattrBytesMax)
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, xattrKept) || strings.Contains(name, "=") {
			continue
		}
		text, err := syscall.BytePtrFromString(name)
		if err != nil {
			continue
		}
		size, _, errno := syscall.Syscall6(syscall.SYS_FGETXATTR, file.Fd(), uintptr(unsafe.Pointer(text)),
			uintptr(unsafe.Pointer(&value[0])), xattrBytesMax, 0, 0)
		if errno == 0 {
			records[xattrRecord+name] = string(value[:size])
		}
	}
	return records
}

// attach gives an open file or folder the extended attributes that its entry names.
func attach(file *os.File, header *tar.Header) error {
	for key, value := range header.PAXRecords {
		name := strings.TrimPrefix(key, xattrRecord)
		if name == key || !strings.HasPrefix(name, xattrKept) {
			continue
		}
		text, err := syscall.BytePtrFromString(name)
		if err != nil {
			return err
		}
		data := append([]byte(value), 0) // never without a first byte
		_, _, errno := syscall.Syscall6(syscall.SYS_FSETXATTR, file.Fd(), uintptr(unsafe.Pointer(text)),
			uintptr(unsafe.Pointer(&data[0])), uintptr(len(value)), 0, 0)
		if errno != 0 {
			return errno
		}
	}
	return nil
}

// setModified sets the times of what is open, or of a symlink below an open folder. A time that the kernel does not take
// is left.
func setModified(file *os.File, link string, modified time.Time) {
	moment := syscall.Timespec{Sec: modified.Unix(), Nsec: int64(modified.Nanosecond())}
	times := [2]syscall.Timespec{moment, moment}
	var name *byte
	flags := uintptr(0)
	if link != "" {
		text, err := syscall.BytePtrFromString(link)
		if err != nil {
			return
		}
		name, flags = text, atNoFollow
	}
	_, _, _ = syscall.Syscall6(syscall.SYS_UTIMENSAT, file.Fd(), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&times[0])), flags, 0, 0)
}

// copyWithHoles writes a file's content and leaves out blocks of zeros, so that a file with holes has them again.
func copyWithHoles(to *os.File, from io.Reader, size int64) error {
	buffer := make([]byte, readBytes)
	for at := int64(0); at < size; {
		data := buffer
		if size-at < readBytes {
			data = buffer[:size-at]
		}
		if _, err := io.ReadFull(from, data); err != nil {
			return err
		}
		if err := writeBlocks(to, data, at); err != nil {
			return err
		}
		at += int64(len(data))
	}
	return to.Truncate(size)
}

var zeroBlock = make([]byte, holeBytes)

// writeBlocks writes the blocks that hold something, neighbours in one go.
func writeBlocks(to *os.File, data []byte, at int64) error {
	from := 0
	for place := 0; place < len(data); place += holeBytes {
		end := place + holeBytes
		if end > len(data) {
			end = len(data)
		}
		if !bytes.Equal(data[place:end], zeroBlock[:end-place]) {
			continue
		}
		if err := writeSome(to, data[from:place], at+int64(from)); err != nil {
			return err
		}
		from = end
	}
	return writeSome(to, data[from:], at+int64(from))
}

func writeSome(to *os.File, data []byte, at int64) error {
	if len(data) == 0 {
		return nil
	}
	_, err := to.WriteAt(data, at)
	return err
}
