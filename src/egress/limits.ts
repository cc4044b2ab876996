/** Bounds of the proxy, each for one sandbox unless it says otherwise. */

export const egressLimits = {
  queriesPerSecond: 500,
  queriesBurst: 1000,
  /** Names that were not asked for before; what a tunnel through a wildcard would need many of. */
  namesPerSecond: 5,
  namesBurst: 300,
  /** All labels of a name below a wildcard together: nothing honest is longer, a tunnel is. */
  wildcardCharactersMax: 80,
  namesPinnedAhead: 256,
  answerTtlSeconds: 30,
  denialsPerSecond: 20,
  denialsBurst: 200,
  denialRepeatMs: 1000,
  denialsRemembered: 1024,
  denialsShown: 32,
  connectionsMax: 512,
  /** Open connections with those that are being refused. */
  socketsMax: 640,
  /** Of the whole proxy: different ports that policies name. */
  portsMax: 1024,
  /** Of the whole proxy: places that policies open for UDP, each of which is listened on by itself. */
  udpPlacesMax: 1024,
  datagramsPerSecond: 20_000,
  /** Datagrams of a flow that wait until its host's name is looked up. */
  datagramsWaitingMax: 16,
  datagramBytesQueuedMax: 1024 * 1024,
  /** After this long without a datagram either way a flow of UDP is over. */
  datagramIdleMs: 60_000,
  /** How long the gate may take to open a listener. */
  listenMsMax: 5000,
  connectionsPerMinute: 1200,
  hostsCounted: 4096,
  /** What may pass at once where a policy limits bytes a second; more where a quarter of a second brings more. */
  paceBurstBytes: 64 * 1024,
  lookupsMax: 8,
  lookupMsMax: 5000,
  /** Addresses of a name are asked for again after this long. */
  lookupKeptMs: 10_000,
  /** Of the whole proxy. */
  lookupsKept: 4096,
  addressesTried: 3,
  connectMsMax: 10_000,
  /** From accept until a ClientHello or the head of a request is whole; a machine under emulation takes seconds. */
  helloMsMax: 30_000,
  /** How long a refused connection may stay open for its alert or answer to be read. */
  refusalLingerMs: 2000,
  idleMsMax: 15 * 60_000,
  headerBytesMax: 64 * 1024,
  /** Of one connection with HTTP/2. */
  streamsMax: 100,
  streamWindowBytes: 1024 * 1024,
  sessionMemoryMib: 32,
  /** Connections to one host, for requests. */
  upstreamSocketsMax: 256,
  upstreamSocketsKept: 8,
  /** How long one that nobody uses is kept: less than the 5 s after which many servers close theirs. */
  upstreamIdleMs: 4000,
  /** Hosts to which connections are kept. */
  hostsKept: 64,
  /** How often budgets of bytes are looked at. */
  bytesCheckMs: 250,
  /** A body with a Content-Length up to this is held until the secrets are in it. */
  secretBodyBytesMax: 1024 * 1024,
  /** How many times its size a compressed body may have inside where it is looked into. */
  expansionMax: 200,
  certificatesKept: 256,
  controlLineBytesMax: 4 * 1024 * 1024,
} as const;
