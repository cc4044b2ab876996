package main

const (
	sysFinitModule = 313
	sysSyncfs      = 306
	sysRenameat2   = 316
)
