package main

const (
	sysFinitModule = 313
	sysSyncfs      = 306
)
