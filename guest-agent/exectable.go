package main

import (
	"encoding/json"
	"sort"
	"sync"
	"time"
)

const (
	runningMax   = 512
	endedKeptMax = 32
	endedKept    = 5 * time.Minute
	// listBytesMax leaves room for the frame around a list of programs; argumentsListedMax is what of it argv may take.
	listBytesMax       = messageBytesMax - 1024
	argumentsListedMax = 16 * 1024
)

// execTable knows every program of the API: those that run and, for a while, those that ended.
type execTable struct {
	mu   sync.Mutex
	byID map[string]*process // nil while a program is being started
}

// reserve keeps an id for a program that is about to start.
func (t *execTable) reserve(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, taken := t.byID[id]; taken {
		return fail("conflict", "exec id "+id+" is taken")
	}
	running := 0
	for _, p := range t.byID {
		if p == nil || p.end() == nil {
			running++
		}
	}
	if running >= runningMax {
		return fail("conflict", "too many programs run at once")
	}
	t.byID[id] = nil
	return nil
}

// forgetAll makes the table new.
func (t *execTable) forgetAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID = map[string]*process{}
}

// put enters a started program, or gives the id back where p is nil.
func (t *execTable) put(id string, p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p == nil {
		delete(t.byID, id)
		return
	}
	t.byID[id] = p
	go func() {
		<-p.done
		t.forgetEnded()
		time.AfterFunc(endedKept+time.Second, t.forgetEnded)
	}()
}

// forgetEnded forgets ended programs: those past their time, and all but the newest few.
func (t *execTable) forgetEnded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ended []*process
	for _, p := range t.byID {
		if p != nil && p.end() != nil {
			ended = append(ended, p)
		}
	}
	sort.Slice(ended, func(i, j int) bool { return ended[i].endedAt.After(ended[j].endedAt) })
	for i, p := range ended {
		if i >= endedKeptMax || time.Since(p.endedAt) > endedKept {
			delete(t.byID, p.id)
			for _, o := range p.outputs {
				o.forget()
			}
		}
	}
}

func (t *execTable) find(raw json.RawMessage) (*process, error) {
	var params struct {
		ExecID string `json:"execId"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[params.ExecID]; p != nil {
		return p, nil
	}
	return nil, fail("exec_not_found", "no exec "+params.ExecID)
}

// all answers the programs, those that run first, then the newest first.
func (t *execTable) all() []*process {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*process
	ended := map[*process]bool{}
	for _, p := range t.byID {
		if p != nil {
			all = append(all, p)
			ended[p] = p.end() != nil
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if ended[all[i]] != ended[all[j]] {
			return !ended[all[i]]
		}
		return all[i].startedAt.After(all[j].startedAt)
	})
	return all
}

type execEntry struct {
	ExecID        string    `json:"execId"`
	Pid           int       `json:"pid"`
	Argv          []string  `json:"argv"`
	User          string    `json:"user"`
	StartedUnixMs int64     `json:"startedUnixMs"`
	Pty           bool      `json:"pty"`
	Exited        *exitInfo `json:"exited,omitempty"`
}

// execList answers what fits a frame, the newest programs last.
func (a *agent) execList(*stream, json.RawMessage) (interface{}, error) {
	entries := []execEntry{}
	size, argumentsSize := 0, 0
	for _, p := range a.execs.all() {
		e := execEntry{p.id, p.pid, shortened(p.argv), p.user, p.startedAt.UnixMilli(), p.pty != nil, p.end()}
		argv, _ := json.Marshal(e.Argv)
		if argumentsSize+len(argv) > argumentsListedMax {
			e.Argv = []string{}
		} else {
			argumentsSize += len(argv)
		}
		wire, _ := json.Marshal(e)
		if size += len(wire) + 1; size > listBytesMax {
			break
		}
		entries = append(entries, e)
	}
	sort.SliceStable(entries, func(i, j int) bool { return entries[i].StartedUnixMs < entries[j].StartedUnixMs })
	return map[string]interface{}{"execs": entries}, nil
}

// shortened cuts arguments so that a list of programs fits a frame.
func shortened(argv []string) []string {
	short := make([]string, 0, len(argv))
	for i, argument := range argv {
		if i == 16 {
			break
		}
		if len(argument) > 200 {
			argument = argument[:200]
		}
		short = append(short, argument)
	}
	return short
}
