package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
)

const (
	// fuseNodesMax: beyond, others are forgotten, which the guest finds again by their names.
	fuseNodesMax = 200_000
	fuseDepthMax = 512
)

// fuseNodes knows where a guest's nodes lie. A node's number is its inode's, and what is known of it is a name in a folder:
// no file is held open for it. A guest that goes on after a restart of this process, or is a copy of another one, names
// nodes that were never looked up here; the volume is searched for them, once.
type fuseNodes struct {
	tree     volumeTree
	mu       sync.Mutex
	known    map[uint64]fusePlace
	searched bool
}

type fusePlace struct {
	folder uint64
	name   string
}

func errnoOf(err error) syscall.Errno {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	var known *failure
	if errors.As(err, &known) {
		return syscall.ESTALE // something on the way became a link
	}
	return syscall.EIO
}

func (n *fuseNodes) remember(node, folder uint64, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, there := n.known[node]; !there && len(n.known) >= fuseNodesMax {
		for other := range n.known {
			delete(n.known, other)
			break
		}
	}
	n.known[node] = fusePlace{folder, name}
}

func (n *fuseNodes) forget(node uint64) {
	n.mu.Lock()
	delete(n.known, node)
	n.mu.Unlock()
}

func (n *fuseNodes) place(node uint64) (fusePlace, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	place, known := n.known[node]
	return place, known
}

func (n *fuseNodes) path(node uint64) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var parts []string
	for node != fuseRootID {
		place, known := n.known[node]
		if !known || len(parts) > fuseDepthMax {
			return "", syscall.ESTALE
		}
		parts = append(parts, place.name)
		node = place.folder
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, "/"), nil
}

// open opens a node, and makes sure that it is that one: somebody else may have moved it.
func (n *fuseNodes) open(node uint64, flags int) (*os.File, error) {
	file, err := n.openKnown(node, flags)
	if err == nil || !isOneOf(err, syscall.ESTALE) || !n.search() {
		return file, err
	}
	return n.openKnown(node, flags)
}

func (n *fuseNodes) openKnown(node uint64, flags int) (*os.File, error) {
	clean, err := n.path(node)
	if err != nil {
		return nil, err
	}
	file, err := n.tree.open(clean, flags|syscall.O_NOFOLLOW)
	if err != nil {
		if isOneOf(err, syscall.ENOENT, syscall.ENOTDIR) || errnoOf(err) == syscall.ESTALE {
			return nil, syscall.ESTALE
		}
		return nil, err
	}
	if node == fuseRootID {
		return file, nil
	}
	stat, err := statOf(file)
	if err == nil && stat.Ino != node {
		err = syscall.ESTALE
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// search finds out where every node lies, once: a guest that names what is not there must not keep this busy.
func (n *fuseNodes) search() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.searched {
		return false
	}
	n.searched = true
	root, err := n.tree.open("", entered)
	if err != nil {
		return false
	}
	defer root.Close()
	n.searchFolder(root, fuseRootID, 0)
	return true
}

func (n *fuseNodes) searchFolder(folder *os.File, node uint64, depth int) {
	for {
		names, err := folder.Readdirnames(namesAtOnce)
		for _, name := range names {
			if len(n.known) >= fuseNodesMax || depth >= fuseDepthMax {
				return
			}
			seen, err := below(folder, name, looked)
			if err != nil {
				continue
			}
			stat, err := statOf(seen)
			_ = seen.Close()
			if err != nil {
				continue
			}
			if _, known := n.known[stat.Ino]; !known {
				n.known[stat.Ino] = fusePlace{node, name}
			}
			if fileKind(stat) != "directory" {
				continue
			}
			if inner, err := below(folder, name, entered); err == nil {
				n.searchFolder(inner, stat.Ino, depth+1)
				_ = inner.Close()
			}
		}
		if err == io.EOF || err != nil {
			return
		}
	}
}
