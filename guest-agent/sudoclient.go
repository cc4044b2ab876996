package main

import (
	"encoding/json"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const prGetNoNewPrivs = 39

// sudoMain is this program under the name sudo: the real one where it can work, otherwise a request to the agent.
func sudoMain(arguments []string) int {
	if noNewPrivs, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, prGetNoNewPrivs, 0, 0); noNewPrivs == 0 && elevates(realSudo) {
		if err := syscall.Exec(realSudo, append([]string{"sudo"}, arguments...), os.Environ()); err != nil {
			return complain(err.Error())
		}
	}
	request, ok := parseSudo(arguments)
	if !ok {
		return complain("usage: sudo [-n] [-E] [-H] [-u user] [-i | -s] [--] [NAME=value ...] program [arguments]")
	}
	address := &net.UnixAddr{Name: sudoSocket, Net: "unix"}
	connection, err := net.DialUnix("unix", nil, address)
	if err != nil {
		return complain("the sandbox's agent does not answer: " + err.Error())
	}
	body, _ := json.Marshal(request)
	if _, _, err := connection.WriteMsgUnix(body, syscall.UnixRights(0, 1, 2), nil); err != nil {
		return complain(err.Error())
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for received := range signals {
			if number, ok := received.(syscall.Signal); ok {
				_, _ = connection.Write([]byte{byte(number)})
			}
		}
	}()
	var code [1]byte
	if _, err := connection.Read(code[:]); err != nil {
		return complain("refused")
	}
	return int(code[0])
}

// elevates tells whether the kernel would run the file as root. Images lose their set-uid bits when they are unpacked.
func elevates(path string) bool {
	var stat syscall.Stat_t
	return syscall.Stat(path, &stat) == nil && stat.Mode&syscall.S_ISUID != 0 && stat.Uid == 0
}

func complain(text string) int {
	os.Stderr.WriteString("sudo: " + text + "\n")
	return 1
}

// parseSudo reads the options that people use; environment beyond a safe few is kept with -E only, as with the real one.
func parseSudo(arguments []string) (sudoRequest, bool) {
	request := sudoRequest{User: "root"}
	keepAll, shell := false, false
	for len(arguments) > 0 && strings.HasPrefix(arguments[0], "-") {
		option := arguments[0]
		arguments = arguments[1:]
		switch option {
		case "-n", "-H", "-S", "--non-interactive":
		case "-E", "--preserve-env":
			keepAll = true
		case "-i", "-s", "--login", "--shell":
			shell = true
		case "-u", "--user":
			if len(arguments) == 0 {
				return request, false
			}
			request.User, arguments = arguments[0], arguments[1:]
		case "--":
			return request.with(arguments, keepAll, shell)
		default:
			return request, false
		}
	}
	return request.with(arguments, keepAll, shell)
}

func (request sudoRequest) with(arguments []string, keepAll, shell bool) (sudoRequest, bool) {
	safe := map[string]bool{"TERM": true, "LANG": true, "LC_ALL": true, "DISPLAY": true, "PATH": true}
	for _, entry := range os.Environ() {
		if keepAll || safe[strings.SplitN(entry, "=", 2)[0]] {
			request.Env = append(request.Env, entry)
		}
	}
	for len(arguments) > 0 && strings.Contains(arguments[0], "=") && !strings.Contains(strings.SplitN(arguments[0], "=", 2)[0], "/") {
		request.Env, arguments = append(request.Env, arguments[0]), arguments[1:]
	}
	request.Argv = arguments
	if shell {
		request.Argv = []string{"/bin/bash", "-l"}
		if len(arguments) > 0 {
			request.Argv = append(request.Argv, "-c", strings.Join(arguments, " "))
		}
	}
	request.Cwd, _ = os.Getwd()
	return request, len(request.Argv) > 0
}
