package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// boundEnvironmentFile tells a program that ran before the sandbox was claimed (a template's start command) what the
// sandbox's environment has become. Only the user whom start commands run as, and root, read it.
const (
	boundEnvironmentFile = privateFolder + "/environment.json"
	// privateFolder is the agent's own; a machine has it in memory.
	privateFolder = "/run/casemate"
	startUser     = "user"
)

// tellEnvironment writes it for who wants it; without that user, nobody does.
func (a *agent) tellEnvironment() {
	user, err := a.users.find(startUser)
	if err != nil {
		return
	}
	env, _ := a.bound.snapshot()
	text, err := json.Marshal(env)
	if err != nil || os.MkdirAll(filepath.Dir(boundEnvironmentFile), 0o755) != nil {
		return
	}
	partial := boundEnvironmentFile + ".partial"
	if os.WriteFile(partial, text, 0o600) != nil || os.Chown(partial, user.uid, user.gid) != nil {
		return
	}
	_ = os.Rename(partial, boundEnvironmentFile)
}
