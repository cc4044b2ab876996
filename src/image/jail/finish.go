package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// foldersDeepMax: programs of the host that walk an image later hold one open folder a level.
	foldersDeepMax = 256
	agentFolder    = ".casemate"
)

// finish runs in the jail, over what a tool unpacked there: refuses what no image needs, and makes the place where the
// guest agent will be seen.
func finish(root string) error {
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.Count(path[len(root):], "/") > foldersDeepMax {
			return fmt.Errorf("the image has folders in folders, more than %d deep", foldersDeepMax)
		}
		if entry.Type()&fs.ModeDevice != 0 {
			return fmt.Errorf("the image holds a device: %q", path[len(root):])
		}
		return nil
	})
	if err != nil {
		return err
	}
	place := filepath.Join(root, agentFolder)
	if err := os.RemoveAll(place); err != nil {
		return err
	}
	if err := os.Mkdir(place, 0o755); err != nil {
		return err
	}
	return os.Chmod(root, 0o755)
}
