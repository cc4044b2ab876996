package main

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// attachVolume makes the folder that is open as descriptor 3 appear at a place of the host, which sandboxes see. What it
// forbids is set before anybody can see it: a flag that is set later does not reach what was already propagated.
func attachVolume(arguments []string) error {
	if len(arguments) != 2 || arguments[1] != "rw" && arguments[1] != "ro" {
		return errors.New("usage: guest-agent volume attach <place> rw|ro")
	}
	here := atFdCwd
	empty := [1]byte{}
	nothing := uintptr(unsafe.Pointer(&empty[0]))
	fd, _, errno := syscall.Syscall(sysOpenTree, 3, nothing, openTreeClone|atEmptyPath|syscall.O_CLOEXEC)
	if errno != 0 {
		return errors.New("open_tree: " + errno.Error())
	}
	tree := os.NewFile(fd, "volume")
	defer tree.Close()
	if arguments[1] == "ro" {
		attributes := mountAttributes{set: attributeReadOnly}
		_, _, errno = syscall.Syscall6(sysMountSetattr, tree.Fd(), nothing, atEmptyPath,
			uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes), 0)
		if errno != 0 {
			return errors.New("mount_setattr: " + errno.Error())
		}
	}
	place, err := syscall.BytePtrFromString(arguments[0])
	if err != nil {
		return err
	}
	_, _, errno = syscall.Syscall6(sysMoveMount, tree.Fd(), nothing, uintptr(here), uintptr(unsafe.Pointer(place)),
		moveFromEmptyPath, 0)
	if errno != 0 {
		return errors.New("move_mount: " + errno.Error())
	}
	return nil
}
