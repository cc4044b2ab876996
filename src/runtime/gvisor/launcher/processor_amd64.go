package main

import (
	"syscall"
	"unsafe"
)

const setnsNumber = 308

const (
	prSetSeccomp      = 22
	seccompModeFilter = 2
	archSetCPUID      = 0x1012
	retErrno          = 0x00050000
	retAllow          = 0x7fff0000
	auditArchX86_64   = 0xc000003e
	dataNumber        = 0
	dataArch          = 4
	dataArgument0     = 16
)

// leaveProcessorQuestionsAlone has runsc believe that this processor cannot trap CPUID, as most of them cannot. Where it
// can, each CPUID of a program becomes a round through the sentry, and the C library asks more than a hundred times
// before main: 3 to 5 of the 8 ms that a program's start takes in gVisor. The instruction tells a program which
// processor it has and gives it no way to anything; runsc without the trap is runsc on every AMD machine.
func leaveProcessorQuestionsAlone() error {
	load := func(offset uint32) syscall.SockFilter {
		return syscall.SockFilter{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: offset}
	}
	unless := func(value uint32, skip uint8) syscall.SockFilter {
		return syscall.SockFilter{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: value, Jf: skip}
	}
	answer := func(value uint32) syscall.SockFilter {
		return syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: value}
	}
	filter := []syscall.SockFilter{
		load(dataArch), unless(auditArchX86_64, 5),
		load(dataNumber), unless(syscall.SYS_ARCH_PRCTL, 3),
		load(dataArgument0), unless(archSetCPUID, 1),
		answer(retErrno | uint32(syscall.ENODEV)),
		answer(retAllow),
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetSeccomp, seccompModeFilter, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}
