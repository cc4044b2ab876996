package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// resolverAddress is where the egress proxy answers names, in every sandbox.
	resolverAddress = "198.18.0.1"
	sandboxUser     = "user"
	firstUserID     = 1000
	lastUserID      = 60_000
)

// setUpImage makes an image that knows nothing of sandboxes into one: name resolution, a place for temporary files, and
// the user that programs run as by default. What is there already stays.
func setUpImage() error {
	for path, text := range map[string]string{
		"/etc/resolv.conf": "nameserver " + resolverAddress + "\n",
		"/etc/hostname":    "sandbox\n",
		"/etc/hosts":       "127.0.0.1 localhost sandbox\n::1 localhost\n",
		"/etc/machine-id":  "",
	} {
		if err := writeFresh(path, text); err != nil {
			return err
		}
	}
	for _, folder := range []string{"/run", "/tmp"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod("/tmp", 0o777|os.ModeSticky); err != nil {
		return err
	}
	// The runtime would put an empty /tmp into memory; with a file in it, it stays on the sandbox's bounded disk.
	if err := os.WriteFile("/tmp/.keep", nil, 0o644); err != nil {
		return err
	}
	return makeUser()
}

// writeFresh replaces what an image has under the name, which may be a link into a system that does not run here.
func writeFresh(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func makeUser() error {
	users := userTable{}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		if err := writeFresh("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"); err != nil {
			return err
		}
		if err := writeFresh("/etc/group", "root:x:0:\n"); err != nil {
			return err
		}
	}
	if user, err := users.find(sandboxUser); err == nil {
		return finishUser(user.home, user.uid, user.gid)
	}
	id := firstUserID
	for ; id < lastUserID; id++ {
		if user, group := users.names(id, id); user == "" && group == "" {
			break
		}
	}
	shell := "/bin/sh"
	if _, err := os.Stat("/bin/bash"); err == nil {
		shell = "/bin/bash"
	}
	home := "/home/" + sandboxUser
	lines := map[string]string{
		"/etc/passwd": fmt.Sprintf("%s:x:%d:%d::%s:%s\n", sandboxUser, id, id, home, shell),
		"/etc/group":  fmt.Sprintf("%s:x:%d:\n", sandboxUser, id),
	}
	if _, err := os.Stat("/etc/shadow"); err == nil {
		lines["/etc/shadow"] = sandboxUser + ":!:19000:0:99999:7:::\n"
	}
	for path, line := range lines {
		if err := appendLine(path, line); err != nil {
			return err
		}
	}
	return finishUser(home, id, id)
}

func finishUser(home string, uid, gid int) error {
	if _, err := os.Stat(home); err != nil {
		if err := os.MkdirAll(home, 0o755); err != nil {
			return err
		}
		if err := os.Chown(home, uid, gid); err != nil {
			return err
		}
	}
	return allowSudo()
}

func appendLine(path, line string) error {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if len(text) > 0 && !strings.HasSuffix(string(text), "\n") {
		line = "\n" + line
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(line); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// allowSudo lets the user be root of its sandbox, as in the templates that Casemate ships (sudo.go).
func allowSudo() error {
	if err := addToGroup("sudo", sandboxUser); err != nil {
		return err
	}
	if err := os.MkdirAll("/usr/local/bin", 0o755); err != nil {
		return err
	}
	link := "/usr/local/bin/sudo"
	if _, err := os.Lstat(link); err == nil {
		return nil
	}
	return os.Symlink("/.casemate/guest-agent", link)
}

func contains(list []string, item string) bool {
	for _, candidate := range list {
		if candidate == item {
			return true
		}
	}
	return false
}

// addToGroup makes the group where there is none.
func addToGroup(group, member string) error {
	text, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	taken := map[string]bool{}
	for index, line := range lines {
		fields := strings.Split(line, ":")
		if len(fields) < 4 {
			continue
		}
		taken[fields[2]] = true
		if fields[0] == group && contains(strings.Split(fields[3], ","), member) {
			return nil
		}
		if fields[0] == group {
			fields[3] = strings.Trim(fields[3]+","+member, ",")
			lines[index] = strings.Join(fields, ":")
			return os.WriteFile("/etc/group", []byte(strings.Join(lines, "\n")+"\n"), 0o644)
		}
	}
	id := 27 // what Debian has; any that is free will do
	for taken[itoa(id)] {
		id++
	}
	lines = append(lines, fmt.Sprintf("%s:x:%d:%s", group, id, member))
	return os.WriteFile("/etc/group", []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}
