package main

import (
	"encoding/json"
	"io"
	"net"
	"time"
)

// tcpConnect forwards a connection to a port of the sandbox, byte for byte in both directions.
func (a *agent) tcpConnect(s *stream, raw json.RawMessage) (interface{}, error) {
	var params struct {
		Port int    `json:"port"`
		Host string `json:"host"`
	}
	if err := decode(raw, &params); err != nil {
		return nil, err
	}
	if params.Host == "" {
		params.Host = "127.0.0.1"
	}
	if params.Port < 1 || params.Port > 65535 {
		return nil, fail("invalid_request", "ports are 1 to 65535")
	}
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(params.Host, itoa(params.Port)), 10*time.Second)
	if err != nil {
		return nil, fail("port_unreachable", err.Error())
	}
	defer connection.Close()
	if err := s.message(map[string]bool{"connected": true}); err != nil {
		return nil, err
	}
	s.whenCanceled(func() { connection.Close() })
	go func() {
		for {
			data, err := s.read()
			if err == io.EOF {
				if half, ok := connection.(*net.TCPConn); ok {
					_ = half.CloseWrite()
				}
				return
			}
			if err != nil {
				return
			}
			if _, err := connection.Write(data); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, protoPayloadBytesMax)
	for {
		n, err := connection.Read(buffer)
		if n > 0 {
			if err := s.write(0, buffer[:n], false); err != nil {
				return nil, err
			}
		}
		if err != nil {
			return nil, s.write(0, nil, true)
		}
	}
}
