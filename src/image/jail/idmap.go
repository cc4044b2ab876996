package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"
)

// Numbers that Go's syscall package does not have; the same on all architectures.
const (
	sysOpenTree     = 428
	sysMoveMount    = 429
	sysMountSetattr = 442

	atEmptyPath    = 0x1000
	openTreeClone  = 1
	openTreeCloexe = syscall.O_CLOEXEC
	moveFromEmpty  = 4
	attrIdmap      = 0x100000
	attrReadOnly   = 1
	attrNosuid     = 2
	attrNodev      = 4
)

type mountAttributes struct{ set, clear, propagation, usernsFd uint64 }

// idmap shows a folder, whose files belong to the jail's users, with the numbers that those users have inside of it:
// root's are root's. Read-only, no set-id, no devices.
func idmap(source, target string, first int) error {
	holder := exec.Command("/proc/self/exe") // any process: only its namespace is wanted
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: first, HostID: 0, Size: idsPerImage}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: first, HostID: 0, Size: idsPerImage}},
		Ptrace:      true, // stands still after its exec
	}
	if err := holder.Start(); err != nil {
		return fmt.Errorf("user namespace: %w", err)
	}
	defer func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	}()
	userns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	if err != nil {
		return err
	}
	defer userns.Close()
	tree, err := openTree(source)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", source, err)
	}
	defer syscall.Close(tree)
	attributes := mountAttributes{
		set:      attrIdmap | attrReadOnly | attrNosuid | attrNodev,
		usernsFd: uint64(userns.Fd()),
	}
	empty := []byte{0}
	if _, _, errno := syscall.Syscall6(sysMountSetattr, uintptr(tree), uintptr(unsafe.Pointer(&empty[0])), atEmptyPath,
		uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes), 0); errno != 0 {
		return fmt.Errorf("mount_setattr: %w", errno)
	}
	path, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	atCwd := -100
	if _, _, errno := syscall.Syscall6(sysMoveMount, uintptr(tree), uintptr(unsafe.Pointer(&empty[0])), uintptr(atCwd),
		uintptr(unsafe.Pointer(path)), moveFromEmpty, 0); errno != 0 {
		return fmt.Errorf("move_mount %s: %w", target, errno)
	}
	return nil
}

func openTree(source string) (int, error) {
	path, err := syscall.BytePtrFromString(source)
	if err != nil {
		return 0, err
	}
	atCwd := -100
	fd, _, errno := syscall.Syscall(sysOpenTree, uintptr(atCwd), uintptr(unsafe.Pointer(path)), openTreeClone|openTreeCloexe)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}
