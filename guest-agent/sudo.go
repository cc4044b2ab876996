package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// A runtime whose kernel grants no rights by set-uid files (gVisor's Debian builds) cannot run the real sudo. The agent
// is root in its sandbox already: whom the template trusts may ask it to run a program so. A sandbox's root is only the
// sandbox's; nothing of this reaches the host.

const (
	sudoSocket = "/run/casemate-sudo"
	// sudoGroup may connect to the socket: as in Debian, its members may become anybody. (Who a peer is cannot be asked
	// of gVisor: it answers with the credentials of whoever asks.)
	sudoGroup           = "sudo"
	sudoRequestBytesMax = 512 * 1024
	realSudo            = "/usr/bin/sudo"
)

// sudoRequest is what the client sends, together with its descriptors 0, 1 and 2.
type sudoRequest struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Cwd  string   `json:"cwd"`
	User string   `json:"user"`
}

// openSudo takes requests from now on. Where there is no such group, or no socket for it, there is no sudo.
func (a *agent) openSudo() {
	gid, known := a.users.group(sudoGroup)
	if !known {
		return
	}
	_ = os.Remove(sudoSocket)
	before := syscall.Umask(0o777) // nobody comes in before the owner is set; programs start later
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: sudoSocket, Net: "unix"})
	syscall.Umask(before)
	if err != nil || os.Chown(sudoSocket, 0, gid) != nil || os.Chmod(sudoSocket, 0o660) != nil {
		return
	}
	go func() {
		for {
			client, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			go a.sudo(client)
		}
	}()
}

// sudo runs one program for a client and answers its exit code as one byte.
func (a *agent) sudo(client *net.UnixConn) {
	defer client.Close()
	request, files, err := receiveSudo(client)
	defer closeAll(files)
	if err != nil || len(files) != 3 || len(request.Argv) == 0 {
		_, _ = client.Write([]byte{1})
		return
	}
	user, err := a.users.find(request.User)
	if err != nil {
		_, _ = client.Write([]byte{1})
		return
	}
	env := withUser(request.Env, user)
	program, err := lookUp(request.Argv[0], env, request.Cwd)
	if err != nil {
		_, _ = client.Write([]byte{127})
		return
	}
	attributes := &syscall.ProcAttr{
		Dir: request.Cwd, Env: env, Files: []uintptr{uintptr(files[0]), uintptr(files[1]), uintptr(files[2])},
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Credential: &syscall.Credential{Uid: uint32(user.uid), Gid: uint32(user.gid), Groups: user.groups},
		},
	}
	pid, ended, err := a.reaper.start(func() (int, error) { return syscall.ForkExec(program, request.Argv, attributes) })
	if err != nil {
		_, _ = client.Write([]byte{126})
		return
	}
	go passSignals(client, pid)
	status := <-ended
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	_, _ = client.Write([]byte{byte(code)})
}

// passSignals gives the program what its client was sent; a client that is gone takes the program with it.
func passSignals(client *net.UnixConn, pid int) {
	var number [1]byte
	for {
		if _, err := io.ReadFull(client, number[:]); err != nil {
			_ = syscall.Kill(-pid, syscall.SIGHUP)
			return
		}
		_ = syscall.Kill(-pid, syscall.Signal(number[0]))
	}
}

func receiveSudo(client *net.UnixConn) (request sudoRequest, files []int, err error) {
	body := make([]byte, sudoRequestBytesMax)
	rights := make([]byte, syscall.CmsgSpace(3*4))
	n, rightsLength, _, _, err := client.ReadMsgUnix(body, rights)
	if err != nil {
		return request, nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:rightsLength])
	if err != nil {
		return request, nil, err
	}
	for i := range messages {
		received, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return request, files, err
		}
		files = append(files, received...)
	}
	for _, file := range files {
		syscall.CloseOnExec(file)
	}
	// A request longer than one read is refused by its broken JSON: sudo with half a megabyte of arguments is no sudo.
	return request, files, json.Unmarshal(body[:n], &request)
}

// withUser says in the environment who the program is now.
func withUser(env []string, user account) []string {
	kept := []string{"HOME=" + user.home, "USER=" + user.name, "LOGNAME=" + user.name, "SHELL=" + user.shell}
	for _, entry := range env {
		name := strings.SplitN(entry, "=", 2)[0]
		if name != "HOME" && name != "USER" && name != "LOGNAME" && name != "SHELL" {
			kept = append(kept, entry)
		}
	}
	return kept
}

func closeAll(files []int) {
	for _, file := range files {
		_ = syscall.Close(file)
	}
}
