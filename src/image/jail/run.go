package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// idsPerImage is how many users and groups an image may have; more in it is refused by the kernel.
const idsPerImage = 1 << 24

type binds []string

func (b *binds) String() string     { return strings.Join(*b, ",") }
func (b *binds) Set(v string) error { *b = append(*b, v); return nil }

// run expects to be alone in a fresh mount and pid namespace, as root. It builds a root that holds nothing but what is
// named, moves into it, and starts the tool there as an unprivileged user.
func run(args []string) error {
	var readOnly, writable binds
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	place := flags.String("place", "", "an empty folder to build the root on")
	first := flags.Int("first-id", 0, "the host's number of the jail's root")
	network := flags.Bool("network", false, "leave the host's network")
	flags.Var(&readOnly, "ro", "SOURCE:TARGET, seen read-only")
	flags.Var(&writable, "rw", "SOURCE:TARGET, seen writable")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *first < 1<<16 || flags.NArg() == 0 {
		return fmt.Errorf("-first-id and a program are needed")
	}
	if err := build(*place, readOnly, writable); err != nil {
		return err
	}
	return start(*first, *network, flags.Args())
}

func build(place string, readOnly, writable binds) error {
	if err := syscall.Mount("casemate", place, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755,size=64m"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	for _, name := range []string{"proc", "tmp", ".old"} {
		if err := os.Mkdir(filepath.Join(place, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(place, "tmp"), 0o1777); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := bind(self+":/.image-jail", place, true); err != nil {
		return err
	}
	for _, spec := range readOnly {
		if err := bind(spec, place, true); err != nil {
			return err
		}
	}
	for _, spec := range writable {
		if err := bind(spec, place, false); err != nil {
			return err
		}
	}
	if err := syscall.Mount("proc", filepath.Join(place, "proc"), "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if err := syscall.PivotRoot(place, filepath.Join(place, ".old")); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := syscall.Unmount("/.old", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return os.Remove("/.old")
}

// bind shows a file or a folder of the host, and nothing of what is mounted below it.
func bind(spec, place string, readOnly bool) error {
	source, target, found := strings.Cut(spec, ":")
	if !found {
		return fmt.Errorf("%q is not SOURCE:TARGET", spec)
	}
	target = filepath.Join(place, target)
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	again := uintptr(syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_NOSUID | syscall.MS_NODEV)
	if readOnly {
		again |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("", target, "", again, ""); err != nil {
		return fmt.Errorf("remount %s: %w", source, err)
	}
	return nil
}

func start(first int, network bool, argv []string) error {
	runtime.LockOSThread()
	if err := prctl(prSetNoNewPrivs, 1); err != nil {
		return err
	}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: first, Size: idsPerImage}}
	clone := syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	if !network {
		clone |= syscall.CLONE_NEWNET
	}
	tool := exec.Command("/.image-jail", append([]string{"inner"}, argv...)...)
	tool.Stdin, tool.Stdout, tool.Stderr = os.Stdin, os.Stdout, os.Stderr
	tool.Dir = "/tmp"
	tool.Env = []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp"}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if value := os.Getenv(name); network && value != "" {
			tool.Env = append(tool.Env, name+"="+value)
		}
	}
	tool.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 uintptr(clone),
		UidMappings:                ids,
		GidMappings:                ids,
		GidMappingsEnableSetgroups: true,
		Credential:                 &syscall.Credential{},
		Pdeathsig:                  syscall.SIGKILL,
	}
	err := tool.Run()
	if ended, ok := err.(*exec.ExitError); ok {
		os.Exit(max(ended.ExitCode(), 1))
	}
	return err
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}
