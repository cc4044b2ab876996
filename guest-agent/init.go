package main

import (
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// As the first program of a virtual machine ("--init", in an initial RAM disk) the agent makes the root file system out
// of two disks and goes on living there: /dev/vda is the template, read-only and shared by many machines; /dev/vdb
// holds what this machine writes.
const (
	deviceWait   = 20 * time.Second
	deviceRetry  = 5 * time.Millisecond
	newRoot      = "/root"
	agentPort    = "/dev/vport*p1"
	openFilesMax = 65_536
	// Every machine has the same address inside; what it has outside is its network namespace's business.
	guestAddress = "\x0a\xc7\x00\x02"
	guestGateway = "\x0a\xc7\x00\x01"
	guestNetmask = "\xff\xff\xff\xfc"
)

type mounting struct {
	source, target, kind string
	flags                uintptr
	options              string
}

const quiet = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

// wakeMachine brings up what every machine has and answers the path of the port that leads to the host. With no more
// than this ("--probe") a machine proves that it boots here.
func wakeMachine() (string, error) {
	early := []mounting{
		{"devtmpfs", "/dev", "devtmpfs", syscall.MS_NOSUID, "mode=755"},
		{"proc", "/proc", "proc", quiet, ""},
		{"sysfs", "/sys", "sysfs", quiet, ""},
	}
	if err := mountAll(early); err != nil {
		return "", err
	}
	if err := loadModules("/modules"); err != nil {
		return "", err
	}
	// Which of the two there can be is decided by the modules that the host packed.
	return waitFor(agentPort, vsockDevice)
}

// bootMachine does all of it. On an empty disk it runs a few programs too, so that clones need not be the first; on one that
// a machine has written to, it is that machine again.
func (a *agent) bootMachine() (string, error) {
	port, err := wakeMachine()
	if err != nil {
		return "", err
	}
	for _, device := range []string{"/dev/vda", "/dev/vdb", "/sys/class/net/eth0"} {
		if _, err := waitFor(device); err != nil {
			return "", err
		}
	}
	used, err := enterRoot()
	if err != nil {
		return "", err
	}
	quieten()
	limit := syscall.Rlimit{Cur: openFilesMax, Max: openFilesMax}
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	_ = syscall.Sethostname([]byte("sandbox"))
	if err := bringUpNetwork(); err != nil {
		return "", err
	}
	if used {
		a.recall()
		return port, nil
	}
	// Each clone writes its own over it: the copy of the template's file is made here, once.
	setMachineID(newBootID())
	a.warmUp()
	return port, nil
}

// quieten has the kernel do less by itself: a clone pays for whatever runs in it first, and an idle machine's rest is the
// host's processor.
func quieten() {
	for path, value := range map[string]string{
		"/proc/sys/vm/stat_interval":                "120", // folding counters of one processor
		"/proc/sys/vm/compaction_proactiveness":     "0",   // looking for memory to move, twice a second
		"/sys/block/vdb/queue/wbt_lat_usec":         "0",   // what is written is bounded by the host
		"/proc/sys/net/ipv6/conf/eth0/disable_ipv6": "1",   // nothing answers there, and without addresses the kernel asks nobody
	} {
		_ = os.WriteFile(path, []byte(value), 0o644)
	}
}

func mountAll(list []mounting) error {
	for _, m := range list {
		_ = os.MkdirAll(m.target, 0o755)
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
			return errors.New("mounting " + m.target + ": " + err.Error())
		}
	}
	return nil
}

// loadModules loads the kernel modules of a folder, in the order of their file names.
func loadModules(folder string) error {
	files, _ := filepath.Glob(folder + "/*.ko")
	sort.Strings(files)
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		empty := [1]byte{}
		_, _, errno := syscall.Syscall(sysFinitModule, file.Fd(), uintptr(unsafe.Pointer(&empty[0])), 0)
		_ = file.Close()
		if errno != 0 && errno != syscall.EEXIST {
			return errors.New("loading " + path + ": " + errno.Error())
		}
	}
	return nil
}

// waitFor answers the first path that matches; drivers make their devices a moment after they were loaded.
func waitFor(patterns ...string) (string, error) {
	for begun := time.Now(); time.Since(begun) < deviceWait; time.Sleep(deviceRetry) {
		for _, pattern := range patterns {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				return found[0], nil
			}
		}
	}
	return "", errors.New("no " + strings.Join(patterns, ", no "))
}

// enterRoot puts the layers over one another and makes the result the root of everything; answers whether a machine has
// written to the disk before.
func enterRoot() (bool, error) {
	if err := mountAll([]mounting{
		{"/dev/vda", "/lower", "erofs", syscall.MS_RDONLY, ""},
		{"/dev/vdb", "/disk", "ext4", syscall.MS_NOATIME, "noinit_itable,no_prefetch_block_bitmaps,discard"},
	}); err != nil {
		return false, err
	}
	_, err := os.Stat("/disk/upper")
	used := err == nil
	for _, folder := range []string{"/disk/upper", "/disk/work"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return false, err
		}
	}
	layers := "lowerdir=/lower,upperdir=/disk/upper,workdir=/disk/work"
	if err := mountAll([]mounting{
		{"overlay", newRoot, "overlay", 0, layers},
		{"/dev", newRoot + "/dev", "", syscall.MS_MOVE, ""},
		{"/proc", newRoot + "/proc", "", syscall.MS_MOVE, ""},
		{"/sys", newRoot + "/sys", "", syscall.MS_MOVE, ""},
		{"devpts", newRoot + "/dev/pts", "devpts", syscall.MS_NOSUID | syscall.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"casemate", newRoot + privateFolder, "tmpfs", quiet, "mode=755,size=1m"},
		{"shm", newRoot + "/dev/shm", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=1777,size=64m"},
	}); err != nil {
		return false, err
	}
	for name, target := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		_ = os.Symlink("/proc/self/fd"+target, newRoot+"/dev/"+name)
	}
	if err := os.Chdir(newRoot); err != nil {
		return false, err
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return false, err
	}
	if err := syscall.Chroot("."); err != nil {
		return false, err
	}
	return used, os.Chdir("/")
}

// interfaceRequest is the kernel's ifreq: a name, then an address or flags.
type interfaceRequest struct {
	name  [16]byte
	value [24]byte
}

func (r *interfaceRequest) setAddress(address string) {
	r.value = [24]byte{}
	r.value[0] = syscall.AF_INET
	copy(r.value[4:8], address)
}

// route is the kernel's rtentry of a 64-bit machine, as far as a default route needs it.
type route struct {
	_           uint64
	destination [16]byte
	gateway     [16]byte
	netmask     [16]byte
	flags       uint16
	_           [62]byte
}

func bringUpNetwork() error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	up := func(name string) error {
		request := interfaceRequest{}
		copy(request.name[:], name)
		request.value[0] = syscall.IFF_UP
		return ioctl(socket, syscall.SIOCSIFFLAGS, unsafe.Pointer(&request))
	}
	if err := up("lo"); err != nil {
		return err
	}
	request := interfaceRequest{}
	copy(request.name[:], "eth0")
	request.setAddress(guestAddress)
	if err := ioctl(socket, syscall.SIOCSIFADDR, unsafe.Pointer(&request)); err != nil {
		return err
	}
	request.setAddress(guestNetmask)
	if err := ioctl(socket, syscall.SIOCSIFNETMASK, unsafe.Pointer(&request)); err != nil {
		return err
	}
	if err := up("eth0"); err != nil {
		return err
	}
	way := route{flags: syscall.RTF_UP | syscall.RTF_GATEWAY}
	for _, address := range []*[16]byte{&way.destination, &way.gateway, &way.netmask} {
		address[0] = syscall.AF_INET
	}
	copy(way.gateway[4:8], guestGateway)
	return ioctl(socket, syscall.SIOCADDRT, unsafe.Pointer(&way))
}
