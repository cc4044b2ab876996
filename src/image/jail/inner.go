package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"
)

const (
	prSetNoNewPrivs   = 38
	prCapbsetDrop     = 24
	capabilityVersion = 0x20080522
	capabilitiesKnown = 64
)

// kept are the rights that unpacking needs over files of the jail's own users: chown, passing by modes, set-id bits,
// file capabilities. Nothing to mount with, no devices, no network.
var kept = []uint{0, 1, 2, 3, 4, 31}

type capabilityHeader struct {
	version uint32
	pid     int32
}

type capabilityData struct{ effective, permitted, inheritable uint32 }

func prctl(option, argument uintptr) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, argument, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// inner runs inside of the namespaces: gives up what the tool does not need, then becomes the tool.
func inner(argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("no program")
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	// No further namespaces: they are the biggest door to the host's kernel.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0o644); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for resource, value := range map[int]uint64{syscall.RLIMIT_CORE: 0, syscall.RLIMIT_NOFILE: 1024} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return err
		}
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	syscall.Umask(0o022)
	return syscall.Exec(program, argv, os.Environ())
}

func dropCapabilities() error {
	var mask uint64
	for _, capability := range kept {
		mask |= 1 << capability
	}
	for capability := uint(0); capability < capabilitiesKnown; capability++ {
		if mask&(1<<capability) == 0 {
			if err := prctl(prCapbsetDrop, uintptr(capability)); err == syscall.EINVAL {
				break // past the last that this kernel knows
			} else if err != nil {
				return err
			}
		}
	}
	header := capabilityHeader{version: capabilityVersion}
	data := [2]capabilityData{
		{effective: uint32(mask), permitted: uint32(mask)},
		{effective: uint32(mask >> 32), permitted: uint32(mask >> 32)},
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
