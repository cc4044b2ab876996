/** Generated from schema/guest-protocol.json by `npm run generate`: the constants of the guest protocol. */
export const protocol = {
  version: 1,
  magic: 51806,
  marker: 'CASEMATE-RESYNC\n',
  headerBytes: 16,
  payloadBytesMax: 65536,
  resyncPaddingBytes: 65552,
  windowBytes: 262144,
  streamsMax: 1024,
  flagEnd: 1,
  types: {
    hello: 1,
    open: 2,
    data: 3,
    window: 4,
    message: 5,
    close: 6,
    ping: 7,
    pong: 8,
  },
} as const;
