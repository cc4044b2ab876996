// Code generated from schema/guest-protocol.json by "npm run generate". DO NOT EDIT.

package main

const (
	protoVersion            = 1
	protoMagic              = 51806
	protoMarker             = "CASEMATE-RESYNC\n"
	protoHeaderBytes        = 16
	protoPayloadBytesMax    = 65536
	protoResyncPaddingBytes = 65552
	protoWindowBytes        = 262144
	protoStreamsMax         = 1024
	protoFlagEnd            = 1
	frameHello              = 1
	frameOpen               = 2
	frameData               = 3
	frameWindow             = 4
	frameMessage            = 5
	frameClose              = 6
	framePing               = 7
	framePong               = 8
)
