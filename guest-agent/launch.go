package main

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

const (
	argumentsBytesMax = 256 * 1024
	timeoutMsMax      = 7 * 24 * 3600 * 1000
	defaultPath       = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

type terminalSize struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

type execParams struct {
	ExecID    string            `json:"execId"`
	Argv      []string          `json:"argv"`
	Command   string            `json:"command"`
	Cwd       string            `json:"cwd"`
	Env       map[string]string `json:"env"`
	User      string            `json:"user"`
	Stdin     bool              `json:"stdin"`
	TimeoutMs float64           `json:"timeoutMs"`
	Pty       *terminalSize     `json:"pty"`
}

// launch holds what a program is started with.
type launch struct {
	id      string
	argv    []string
	cwd     string
	env     []string
	user    account
	stdin   bool
	rows    uint16
	cols    uint16
	pty     bool
	cpus    int
	timeout time.Duration
}

func (a *agent) prepareLaunch(params execParams) (launch, error) {
	if err := params.check(); err != nil {
		return launch{}, err
	}
	user, err := a.userOr(params.User)
	if err != nil {
		return launch{}, err
	}
	l := launch{id: params.ExecID, argv: params.Argv, user: user, stdin: params.Stdin}
	l.timeout = time.Duration(params.TimeoutMs * float64(time.Millisecond))
	if params.Command != "" {
		l.argv = shellArgv(params.Command)
	}
	l.cwd = a.startDirectory(params.Cwd, user.home)
	if params.Pty != nil {
		l.pty, l.rows, l.cols = true, params.Pty.Rows, params.Pty.Cols
	}
	bound, cpus := a.bound.snapshot()
	l.cpus = cpus
	l.env = environment(user, l.pty, bound, params.Env)
	if path, ok := bound["PATH"]; ok && params.Command != "" && params.Env["PATH"] == "" {
		l.argv = shellArgv("export PATH=" + shellQuote(path) + "; " + params.Command) // a login shell sets its own
	}
	return l, nil
}

func (params execParams) check() error {
	size := len(params.Command) + len(params.Cwd)
	for _, argument := range params.Argv {
		size += len(argument) + 1
		if strings.IndexByte(argument, 0) >= 0 {
			return fail("invalid_request", "an argument holds a null byte")
		}
	}
	switch {
	case size > argumentsBytesMax:
		return fail("invalid_request", "the arguments are too long")
	case strings.IndexByte(params.Command, 0) >= 0, strings.IndexByte(params.Cwd, 0) >= 0:
		return fail("invalid_request", "the command or its directory holds a null byte")
	case !soundID(params.ExecID):
		return fail("invalid_request", "execId is 1 to 64 letters, digits, '-', '_' or '.'")
	case (len(params.Argv) > 0) == (params.Command != ""):
		return fail("invalid_request", "give exactly one of argv and command")
	case len(params.Argv) > 0 && params.Argv[0] == "":
		return fail("invalid_request", "argv names no program")
	case params.TimeoutMs < 0 || params.TimeoutMs > timeoutMsMax:
		return fail("invalid_request", "timeoutMs is 0 to 7 days")
	}
	return checkEnvironment(params.Env)
}

func soundID(id string) bool {
	for _, c := range id {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

func checkEnvironment(env map[string]string) error {
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.IndexByte(value, 0) >= 0 {
			return fail("invalid_request", "an environment variable has a name or a value that cannot be")
		}
	}
	return nil
}

// startDirectory is the one asked for, else the template's where it has one, else the user's home.
func (a *agent) startDirectory(asked, home string) string {
	if bound := a.bound.directory(); asked == "" && bound != "" {
		return bound
	}
	return workingDirectory(asked, home)
}

// workingDirectory is the one asked for, else the user's home, else the root.
func workingDirectory(asked, home string) string {
	if filepath.IsAbs(asked) {
		return asked
	}
	if info, err := os.Stat(home); asked == "" && (err != nil || !info.IsDir()) {
		return "/"
	}
	return filepath.Join(home, asked)
}

func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func shellArgv(command string) []string {
	if _, err := os.Stat("/bin/bash"); err == nil {
		return []string{"/bin/bash", "-l", "-c", command}
	}
	return []string{"/bin/sh", "-c", command}
}

// environment puts together what a program sees; later layers win.
func environment(user account, pty bool, layers ...map[string]string) []string {
	all := map[string]string{
		"PATH": defaultPath, "HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": user.shell,
		"LANG": "C.UTF-8",
	}
	if pty {
		all["TERM"] = "xterm-256color"
	}
	for _, layer := range layers {
		for name, value := range layer {
			all[name] = value
		}
	}
	env := make([]string, 0, len(all))
	for name, value := range all {
		env = append(env, name+"="+value)
	}
	sort.Strings(env)
	return env
}

// lookUp finds the program as execvp would, with the PATH that the program will have.
func lookUp(name string, env []string, cwd string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := defaultPath
	for _, entry := range env {
		if strings.HasPrefix(entry, "PATH=") {
			path = entry[len("PATH="):]
		}
	}
	for _, folder := range strings.Split(path, ":") {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(cwd, folder)
		}
		candidate := folder + "/" + name
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fail("exec_failed", "no program "+name+" in PATH")
}
