package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
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
	mu      sync.Mutex
	stamp   time.Time
	byName  map[string]account
	byID    map[int]account
	nextTry time.Time
}

func (t *userTable) refresh() {
	if now := time.Now(); now.Before(t.nextTry) && t.byName != nil {
		return
	} else {
		t.nextTry = now.Add(time.Second)
	}
	info, err := os.Stat("/etc/passwd")
	if err != nil || (t.byName != nil && info.ModTime().Equal(t.stamp)) {
		return
	}
	t.stamp = info.ModTime()
	t.byName, t.byID = map[string]account{}, map[int]account{}
	for _, fields := range colonFile("/etc/passwd", 7) {
		uid, uidErr := strconv.Atoi(fields[2])
		gid, gidErr := strconv.Atoi(fields[3])
		if uidErr != nil || gidErr != nil {
			continue
		}
		user := account{name: fields[0], uid: uid, gid: gid, home: fields[5], shell: fields[6]}
		user.groups = []uint32{uint32(gid)}
		t.byName[user.name] = user
	}
	for _, fields := range colonFile("/etc/group", 4) {
		gid, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		for _, member := range strings.Split(fields[3], ",") {
			if user, ok := t.byName[member]; ok && gid != user.gid && len(user.groups) < 64 {
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

func colonFile(path string, fields int) [][]string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) > 1<<20 {
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
	if uid, err := strconv.Atoi(name); err == nil && uid >= 0 && uid < 1<<31 {
		if user, ok := t.byID[uid]; ok {
			return user, nil
		}
		return account{name: name, uid: uid, gid: uid, home: "/", shell: "/bin/sh", groups: []uint32{uint32(uid)}}, nil
	}
	return account{}, fail("exec_failed", "no user "+strconv.Quote(name)+" in the sandbox")
}

// nameOf answers the name of a number, empty where it has none.
func (t *userTable) nameOf(uid int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	return t.byID[uid].name
}
