package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// "volume": on the host, root starts this program to serve the files of one volume without a sandbox. What reads a client's
// bytes and what lies in the volume is another process: in namespaces of its own, as users that nobody on the host is,
// with the volume as the root of all that it sees. The process that stays root waits, and reads nothing.
const (
	// jailUsers: numbers above belong to nobody in the jail; such files are seen, and not changed.
	jailUsers = 1 << 24
	// Numbers of system calls that the syscall package does not name; the same on every architecture.
	sysOpenTree     = 428
	sysMoveMount    = 429
	sysCloseRange   = 436
	sysOpenat2      = 437
	sysMountSetattr = 442

	closeRangeOnExec  = 4
	atFdCwd           = -100
	atEmptyPath       = 0x1000
	openTreeClone     = 1
	moveFromEmptyPath = 4
	attributeReadOnly = 0x1
	attributeIDMap    = 0x100000
	// What the jailed process keeps of its user namespace's rights: chown, dac_override, fowner, fsetid.
	jailCapabilities = 1<<0 | 1<<1 | 1<<3 | 1<<4
	jailOpenFiles    = 4096
)

type mountAttributes struct {
	set, clear, propagation, userNamespace uint64
}

// volumeMain answers the exit code.
func volumeMain(arguments []string) int {
	if len(arguments) == 0 {
		return 2
	}
	var err error
	switch arguments[0] {
	case "serve":
		err = serveVolume(arguments[1:])
	case "attach":
		err = attachVolume(arguments[1:])
	case "jailed":
		err = serveInJail()
	case "hold":
		_, err = io.Copy(io.Discard, os.Stdin)
	default:
		err = errors.New("usage: guest-agent volume serve|attach")
	}
	if err != nil {
		_, _ = os.Stderr.WriteString("guest-agent: " + err.Error() + "\n")
		return 1
	}
	return 0
}

// serveVolume makes the jail and waits for its end. Standard input and output are the stream; with this process the jail ends.
func serveVolume(arguments []string) error {
	runtime.LockOSThread() // the jail ends with the thread that made it
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	folder := flags.String("folder", "", "where the volume is mounted")
	first := flags.Int("first-id", 0, "the host's number of the jail's root")
	readOnly := flags.Bool("read-only", false, "nothing can be changed")
	join := flags.String("join", "", "files of control groups, with commas between them")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	for _, file := range strings.Split(*join, ",") {
		if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return err
		}
	}
	// Whatever else is open here: the jail does not get it.
	if _, _, errno := syscall.Syscall(sysCloseRange, 3, uintptr(^uint32(0)), closeRangeOnExec); errno != 0 {
		return errors.New("close_range: " + errno.Error())
	}
	tree, err := mappedTree(*folder, *first, *readOnly)
	if err != nil {
		return err
	}
	command := jailedCommand(*first, "jailed")
	command.Stdin, command.Stdout, command.ExtraFiles = os.Stdin, os.Stdout, []*os.File{tree}
	command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
		syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := command.Start(); err != nil {
		return err
	}
	_ = tree.Close()
	return command.Wait()
}

// jailedCommand is this program again in a user namespace whose users are the host's from first on.
func jailedCommand(first int, verb string) *exec.Cmd {
	command := exec.Command("/proc/self/exe", "volume", verb)
	command.Env = []string{}
	mapping := []syscall.SysProcIDMap{{ContainerID: 0, HostID: first, Size: jailUsers}}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER,
		UidMappings:                mapping,
		GidMappings:                mapping,
		GidMappingsEnableSetgroups: true,
		Credential:                 &syscall.Credential{Uid: 0, Gid: 0},
	}
	return command
}

// mappedTree answers a mount of the folder, attached nowhere, in which the volume's users are the jail's.
func mappedTree(folder string, first int, readOnly bool) (*os.File, error) {
	path, err := syscall.BytePtrFromString(folder)
	if err != nil {
		return nil, err
	}
	here := atFdCwd
	fd, _, errno := syscall.Syscall(sysOpenTree, uintptr(here), uintptr(unsafe.Pointer(path)), openTreeClone|syscall.O_CLOEXEC)
	if errno != 0 {
		return nil, errors.New("open_tree: " + errno.Error())
	}
	tree := os.NewFile(fd, folder)
	// A mapping is given as a user namespace: this one exists until its process has lost its input.
	holder := jailedCommand(first, "hold")
	input, err := holder.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = input.Close()
		_ = holder.Wait()
	}()
	namespace, err := os.Open("/proc/" + itoa(holder.Process.Pid) + "/ns/user")
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	attributes := mountAttributes{set: attributeIDMap, userNamespace: uint64(namespace.Fd())}
	if readOnly {
		attributes.set |= attributeReadOnly
	}
	empty := [1]byte{}
	_, _, errno = syscall.Syscall6(sysMountSetattr, tree.Fd(), uintptr(unsafe.Pointer(&empty[0])), atEmptyPath,
		uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes), 0)
	if errno != 0 {
		return nil, errors.New("mount_setattr: " + errno.Error())
	}
	return tree, nil
}

// enterVolume makes the volume, open as descriptor 3, the root of everything, and gives up what is not needed for files.
func enterVolume() error {
	const place = "/usr" // any folder will do: it is covered in this namespace alone
	empty := [1]byte{}
	target := append([]byte(place), 0)
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	here := atFdCwd
	_, _, errno := syscall.Syscall6(sysMoveMount, 3, uintptr(unsafe.Pointer(&empty[0])), uintptr(here),
		uintptr(unsafe.Pointer(&target[0])), moveFromEmptyPath, 0)
	if errno != 0 {
		return errors.New("move_mount: " + errno.Error())
	}
	_ = syscall.Close(3)
	if err := os.Chdir(place); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return errors.New("pivot_root: " + err.Error())
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: jailOpenFiles, Max: jailOpenFiles}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	return keepCapabilities(jailCapabilities)
}

// keepCapabilities gives up the others on every thread, for good.
func keepCapabilities(capabilities uint32) error {
	const noNewPrivileges, capabilityDrop, lastCapability, version3 = 38, 24, 63, 0x20080522
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, noNewPrivileges, 1, 0); errno != 0 {
		return errno
	}
	for capability := uintptr(0); capability <= lastCapability; capability++ {
		if capability < 32 && capabilities&(1<<capability) != 0 {
			continue
		}
		_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, capabilityDrop, capability, 0)
		if errno != 0 && errno != syscall.EINVAL { // a kernel that does not know so many
			return errno
		}
	}
	header := struct {
		version uint32
		pid     int32
	}{version3, 0}
	sets := [2]struct{ effective, permitted, inheritable uint32 }{{capabilities, capabilities, 0}, {}}
	_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// serveInJail serves the volume's files, and nothing else that an agent can do.
func serveInJail() error {
	if err := enterVolume(); err != nil {
		return err
	}
	syscall.Umask(0)
	files, err := openVolume("/")
	if err != nil {
		return err
	}
	a := &agent{bootID: newBootID(), methods: map[string]handler{
		"ping":         func(*stream, json.RawMessage) (interface{}, error) { return nil, nil },
		"file.stat":    volumeCall(files.stat),
		"file.list":    volumeCall(files.list),
		"file.mkdir":   volumeCall(files.mkdir),
		"file.move":    volumeCall(files.move),
		"file.remove":  volumeCall(files.remove),
		"file.change":  volumeCall(files.change),
		"file.read":    volumeCall(files.read),
		"file.write":   volumeCall(files.write),
		"file.archive": volumeCall(files.archive),
		"file.extract": volumeCall(files.extract),
		"fuse":         files.fuse,
	}}
	return a.serve(os.Stdin, os.Stdout)
}
