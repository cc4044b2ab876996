package main

const (
	sysFinitModule = 273
	sysSyncfs      = 267
	sysRenameat2   = 276
)
