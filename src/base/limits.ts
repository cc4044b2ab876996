/** Every bound of Casemate in one place, named with its unit; `checkLimits` holds related ones against each other. */

export const limits = {
  /** Guest protocol: one frame's payload. */
  framePayloadBytesMax: 64 * 1024,
  /** Guest protocol: credit that each side grants a new stream. */
  streamWindowBytes: 256 * 1024,
  /** Guest protocol: streams that one sandbox may have open at once. */
  guestStreamsMax: 1024,
  /** Guest protocol: messages of one stream that wait for a reader before the guest counts as hostile. */
  guestMessagesQueuedMax: 1024,
  /** Guest protocol: how long the agent may take to answer HELLO or a unary call. */
  guestCallMsMax: 30_000,
  /** How long a template's start command may take until it listens. */
  templateStartMsMax: 120_000,
  /** Output ring of one stream of an exec that nobody reads. */
  outputRingBytes: 1024 * 1024,
  /** Aggregated (non-streaming) exec answers carry at most this much of each stream. */
  execAnswerBytesMax: 8 * 1024 * 1024,
  /** JSON request bodies. */
  jsonBodyBytesMax: 1024 * 1024,
  /** Time limit of a sandbox that asks for none. */
  sandboxTimeoutMsDefault: 5 * 60_000,
  /** The longest time limit that a sandbox may ask for. */
  sandboxTimeoutMsMax: 24 * 3_600_000,
  /** How long a signed preview URL opens a port where nothing is said. */
  previewMsDefault: 3_600_000,
  /** The longest time that a signed preview URL may be asked for. */
  previewMsMax: 7 * 24 * 3_600_000,
  /** Processors of a sandbox that asks for none. */
  sandboxCpusDefault: 1,
  /** Memory of a sandbox that asks for none. */
  sandboxMemoryMibDefault: 512,
  /** The least memory that a sandbox may ask for. */
  sandboxMemoryMibMin: 64,
  /** Disk of a sandbox that asks for none. */
  sandboxDiskMibDefault: 2048,
  /** The least disk that a sandbox may ask for. */
  sandboxDiskMibMin: 64,
  /** Host processes and threads of a sandbox that asks for none. */
  sandboxPidsDefault: 256,
  /** The fewest host processes and threads that a sandbox may ask for. */
  sandboxPidsMin: 32,
  /** Host memory that admission never gives away. */
  hostMemoryReserveMib: 1024,
  /** Host disk that admission never gives away. */
  hostDiskReserveMib: 2048,
  /** How often what running sandboxes use is written down. */
  usageSampleMs: 5000,
  /** Samples of what one sandbox used that are kept. */
  usageSamplesMax: 720,
  /** Sandboxes whose use is read in one call of the root process. */
  usageReadsMax: 50,
  /** How often snapshots are looked through for those that have outlived their retention. */
  snapshotSweepMs: 60_000,
  /** Size of a volume that asks for none. */
  volumeMibDefault: 1024,
  /** The smallest volume: below this a file system is all tables. */
  volumeMibMin: 16,
  /** Files and folders of a volume that asks for no number of them, for each MiB of it. */
  volumeInodesPerMibDefault: 64,
  /** Volumes of one sandbox. */
  sandboxVolumesMax: 8,
  /** A volume that nobody uses stays mounted on the host for so long. */
  volumeIdleMs: 60_000,
  /** What serves a volume's files without a sandbox goes on for so long after the last call. */
  volumeFilesIdleMs: 30_000,
  /** How long a call may take that removes a whole tree from a volume. */
  volumeCallMsMax: 10 * 60_000,
  /** Children of one fork. */
  forkChildrenMax: 100,
  /** Entries of `metadata`, and of `labels`, of one sandbox. */
  metadataEntriesMax: 64,
  /** Variables in one `env`. */
  envEntriesMax: 256,
  /** The environment that a sandbox is given, names and values together; its guest agent refuses more. */
  envBytesMax: 256 * 1024,
  /** What an image that is pulled may take while it is fetched and unpacked, in MiB. */
  imageMibMax: 16 * 1024,
  /** One cache of builds (`RUN --mount=type=cache`), in MiB. */
  buildCacheMibMax: 4096,
  /** What one step of a build may write, in MiB. */
  buildStepMibMax: 10 * 1024,
  /** Memory of a sandbox that runs a step of a build, in MiB. */
  buildMemoryMibDefault: 2048,
  /** How long one step of a build may take. */
  buildStepMsMax: 30 * 60_000,
  /** Steps of one build that make a layer. */
  buildStepsMax: 100,
  /** Files of one build context. */
  buildContextFilesMax: 100_000,
  /** Bytes of one uploaded file of a build context or of an image's archive. */
  blobBytesMax: 8 * 1024 * 1024 * 1024,
  /** A Dockerfile. */
  dockerfileBytesMax: 512 * 1024,
  /** Lines of a build's log that are kept for late readers. */
  buildLogLinesMax: 5000,
  /** Builds of one server at once; the next ones wait. */
  buildsAtOnceMax: 2,
  /** The value of one secret. */
  secretValueBytesMax: 16 * 1024,
  /** Secrets of one tenant. */
  secretsPerTenantMax: 1000,
  /** Secrets of one sandbox. */
  secretsPerSandboxMax: 64,
  /** How long the command that prints the key of secrets may take. */
  secretKeyCommandMsMax: 30_000,
  /** Webhooks of one tenant. */
  webhooksPerTenantMax: 20,
  /** How long a webhook's address may take to answer. */
  webhookAnswerMsMax: 10_000,
  /** Tellings of webhooks that are on their way at once. */
  webhookDeliveriesAtOnceMax: 16,
  /** Tellings of one webhook that its log keeps. */
  webhookDeliveriesKept: 200,
  /** Items of one page of a list. */
  pageItemsMax: 100,
} as const;

/** Throws where two limits contradict each other; called once at start. */
export function checkLimits(): void {
  const wrong: string[] = [];
  if (limits.streamWindowBytes < limits.framePayloadBytesMax)
    wrong.push('a stream window must hold one frame');
  if (limits.sandboxTimeoutMsDefault > limits.sandboxTimeoutMsMax)
    wrong.push('default time limit above its maximum');
  if (limits.sandboxMemoryMibDefault < limits.sandboxMemoryMibMin)
    wrong.push('default memory below its minimum');
  if (limits.envBytesMax > limits.jsonBodyBytesMax) wrong.push('env must fit a request body');
  if (wrong.length > 0) throw new Error(`limits contradict each other: ${wrong.join('; ')}`);
}
