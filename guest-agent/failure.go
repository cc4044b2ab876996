package main

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"syscall"
)

// failure is an error with a code of the host's table (src/base/errors.ts).
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *failure) Error() string { return f.Message }

func fail(code, message string) *failure {
	if len(message) > 400 {
		message = message[:400]
	}
	return &failure{code, message}
}

// failureOf gives system errors the code that a user can act on.
func failureOf(err error) *failure {
	var known *failure
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fail("file_not_found", err.Error())
	case errors.Is(err, os.ErrExist), errors.Is(err, syscall.ENOTEMPTY):
		return fail("file_exists", err.Error())
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fail("file_denied", err.Error())
	case isOneOf(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EIO):
		return fail("disk_full", err.Error()+" (the disk of the sandbox is full)")
	case isOneOf(err, syscall.EISDIR, syscall.EINVAL, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.ENXIO, syscall.ENODEV,
		syscall.ETXTBSY, syscall.EBUSY, syscall.EXDEV, syscall.EMLINK, syscall.EOPNOTSUPP):
		return fail("file_invalid", err.Error())
	case errors.Is(err, os.ErrClosed):
		return fail("conflict", "the program has ended")
	default:
		return fail("internal", err.Error())
	}
}

func isOneOf(err error, numbers ...syscall.Errno) bool {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return false
	}
	for _, candidate := range numbers {
		if number == candidate {
			return true
		}
	}
	return false
}

// decode reads parameters; what does not fit is the caller's mistake.
func decode(raw json.RawMessage, into interface{}) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fail("invalid_request", "parameters: "+err.Error())
	}
	return nil
}

func itoa(number int) string { return strconv.Itoa(number) }
