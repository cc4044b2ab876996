package main

import (
	"encoding/json"
	"io"
	"net"
	"time"
)

const (
	dialTimeout      = 10 * time.Second
	hostNameBytesMax = 253
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
	if params.Port < 1 || params.Port > 65535 || len(params.Host) > hostNameBytesMax {
		return nil, fail("invalid_request", "ports are 1 to 65535, and a host name has 253 bytes at most")
	}
	connection, err := dial(params.Host, itoa(params.Port))
	if err != nil {
		return nil, fail("port_unreachable", err.Error())
	}
	defer connection.Close()
	s.whenClosed(func() { _ = connection.Close() })
	if err := s.message(map[string]bool{"connected": true}); err != nil {
		return nil, err
	}
	sent := make(chan error, 1)
	go func() { sent <- hostToPort(s, connection) }()
	if err := portToHost(s, connection); err != nil {
		return nil, err
	}
	return nil, <-sent
}

// dial tries both families where no host is named: many servers listen on only one of them.
func dial(host, port string) (net.Conn, error) {
	if host != "" {
		return net.DialTimeout("tcp", net.JoinHostPort(host, port), dialTimeout)
	}
	connection, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), dialTimeout)
	if err != nil {
		if other, otherErr := net.DialTimeout("tcp", net.JoinHostPort("::1", port), dialTimeout); otherErr == nil {
			return other, nil
		}
	}
	return connection, err
}

func hostToPort(s *stream, connection net.Conn) error {
	for {
		data, err := s.read()
		if err == io.EOF {
			if half, ok := connection.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			return nil
		}
		if err == nil {
			if _, err = connection.Write(data); err != nil {
				err = fail("port_unreachable", "the connection was cut: "+err.Error())
			}
		}
		if err != nil {
			return err
		}
	}
}

func portToHost(s *stream, connection net.Conn) error {
	to := newSender(s)
	buffer := make([]byte, readBytes/2)
	for {
		n, err := connection.Read(buffer)
		if n > 0 {
			if err := to.write(0, buffer[:n], false); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return to.write(0, nil, true)
		}
		if err != nil {
			return fail("port_unreachable", "the connection was cut: "+err.Error())
		}
	}
}
