package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// reaper waits for every child, its own and those that it inherited as the first process, and tells who asked.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
	early   map[int]syscall.WaitStatus
	started int
}

func startReaper() *reaper {
	r := &reaper{waiting: map[int]chan syscall.WaitStatus{}, early: map[int]syscall.WaitStatus{}}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGCHLD)
	go func() {
		for range signals {
			r.reap()
		}
	}()
	return r
}

func (r *reaper) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		r.mu.Lock()
		if waiter, ok := r.waiting[pid]; ok {
			delete(r.waiting, pid)
			waiter <- status
		} else if r.started > 0 {
			r.early[pid] = status // perhaps the one that is just being started
		}
		r.mu.Unlock()
	}
}

// start runs begin, which starts a child, and answers a channel that will hold the child's end.
func (r *reaper) start(begin func() (int, error)) (int, <-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	r.started++
	r.mu.Unlock()
	pid, err := begin()
	ended := make(chan syscall.WaitStatus, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started--
	if err == nil {
		if status, ok := r.early[pid]; ok {
			ended <- status
		} else {
			r.waiting[pid] = ended
		}
	}
	if r.started == 0 {
		r.early = map[int]syscall.WaitStatus{}
	}
	return pid, ended, err
}
