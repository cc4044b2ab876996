package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	accountFileBytesMax = 1 << 20
	groupsMax           = 64
)

// account is what the agent knows of a user of the sandbox.
type account struct {
	name   string
	uid    int
	gid    int
	home   string
	shell  string
	groups []uint32
}

// userTable reads /etc/passwd and /etc/group again only when they changed.
type userTable struct {
	mu     sync.Mutex
	stamp  [2]fileStamp
	byName map[string]account
	byID   map[int]account
	groups map[int]string
}

type fileStamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.ModTime(), info.Size()}
}

func (t *userTable) refresh() {
	stamp := [2]fileStamp{stampOf("/etc/passwd"), stampOf("/etc/group")}
	if t.byName != nil && stamp == t.stamp {
		return
	}
	t.stamp = stamp
	t.byName, t.byID, t.groups = map[string]account{}, map[int]account{}, map[int]string{}
	for _, fields := range colonFile("/etc/passwd", 7) {
		uid, uidOk := idOf(fields[2])
		gid, gidOk := idOf(fields[3])
		if uidOk && gidOk {
			user := account{name: fields[0], uid: uid, gid: gid, home: fields[5], shell: fields[6]}
			user.groups = []uint32{uint32(gid)}
			t.byName[user.name] = user
		}
	}
	for _, fields := range colonFile("/etc/group", 4) {
		gid, ok := idOf(fields[2])
		if !ok {
			continue
		}
		t.groups[gid] = fields[0]
		for _, member := range strings.Split(fields[3], ",") {
			if user, ok := t.byName[member]; ok && gid != user.gid && len(user.groups) < groupsMax {
				user.groups = append(user.groups, uint32(gid))
				t.byName[member] = user
			}
		}
	}
	for _, user := range t.byName {
		if other, taken := t.byID[user.uid]; !taken || user.name < other.name {
			t.byID[user.uid] = user
		}
	}
}

func idOf(text string) (int, bool) {
	id, err := strconv.Atoi(text)
	return id, err == nil && id >= 0 && id < 1<<31
}

func colonFile(path string, fields int) [][]string {
	if info, err := os.Stat(path); err != nil || info.Size() > accountFileBytesMax || !info.Mode().IsRegular() {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var rows [][]string
	for _, line := range strings.Split(string(text), "\n") {
		if row := strings.Split(line, ":"); len(row) >= fields {
			rows = append(rows, row)
		}
	}
	return rows
}

// find answers the user of that name or number; a number needs no entry, as with Docker.
func (t *userTable) find(name string) (account, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	if user, ok := t.byName[name]; ok {
		return user, nil
	}
	if uid, ok := idOf(name); ok {
		if user, ok := t.byID[uid]; ok {
			return user, nil
		}
		return account{name: name, uid: uid, gid: uid, home: "/", shell: "/bin/sh", groups: []uint32{uint32(uid)}}, nil
	}
	return account{}, fail("invalid_request", "no user "+strconv.Quote(name)+" in the sandbox")
}

// names answers the names of a user and of a group, empty where they have none; of what find has read last.
func (t *userTable) names(uid, gid int) (user, group string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[uid].name, t.groups[gid]
}

// group answers the number of a group.
func (t *userTable) group(name string) (gid int, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	for gid, candidate := range t.groups {
		if candidate == name {
			return gid, true
		}
	}
	return 0, false
}
