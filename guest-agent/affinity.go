package main

import (
	"math/bits"
	"runtime"
	"syscall"
	"unsafe"
)

// processors is a set of them, as sched_setaffinity takes it.
type processors [16]uint64

// allProcessors are those that the agent itself was started with.
var allProcessors = currentProcessors()

func currentProcessors() processors {
	var mask processors
	_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	return mask
}

// first answers the first so many of a set; all of them where there are no more.
func (all processors) first(count int) processors {
	var some processors
	for word, set := range all {
		for set != 0 && count > 0 {
			lowest := uint64(1) << uint(bits.TrailingZeros64(set))
			some[word] |= lowest
			set &^= lowest
			count--
		}
	}
	return some
}

func (all processors) count() int {
	count := 0
	for _, set := range all {
		count += bits.OnesCount64(set)
	}
	return count
}

// withProcessors runs start so that the child sees (and uses) only so many processors; 0 is all.
func withProcessors(count int, start func()) {
	if count <= 0 || count >= allProcessors.count() {
		start()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	useProcessors(allProcessors.first(count))
	start()
	useProcessors(allProcessors)
}

func useProcessors(mask processors) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
}
