package main

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var startedAt = time.Now()

// metrics answers what the sandbox sees of itself; the host's own counters say what it really costs.
func (a *agent) metrics(*stream, json.RawMessage) (interface{}, error) {
	memory := meminfo()
	var disk syscall.Statfs_t
	_ = syscall.Statfs("/", &disk)
	return map[string]interface{}{
		"uptimeMs":             time.Since(startedAt).Milliseconds(),
		"processes":            countProcesses(),
		"agentRssBytes":        agentRss(),
		"memoryTotalBytes":     memory["MemTotal"] * 1024,
		"memoryAvailableBytes": memory["MemAvailable"] * 1024,
		"diskTotalBytes":       float64(disk.Blocks) * float64(disk.Bsize),
		"diskFreeBytes":        float64(disk.Bavail) * float64(disk.Bsize),
		"loadAverage1":         firstNumber("/proc/loadavg"),
	}, nil
}

func meminfo() map[string]float64 {
	values := map[string]float64{}
	text, _ := os.ReadFile("/proc/meminfo")
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 {
			values[strings.TrimSuffix(fields[0], ":")], _ = strconv.ParseFloat(fields[1], 64)
		}
	}
	return values
}

// countProcesses leaves out threads of the kernel, which have no command line.
func countProcesses() int {
	count := 0
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline"); err == nil && len(line) > 0 {
			count++
		}
	}
	return count
}

func agentRss() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func firstNumber(path string) float64 {
	text, _ := os.ReadFile(path)
	fields := strings.Fields(string(text))
	if len(fields) == 0 {
		return 0
	}
	number, _ := strconv.ParseFloat(fields[0], 64)
	return number
}
