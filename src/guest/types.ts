/** What the guest client takes and answers; every value that came from a guest was validated. */

export interface BindParams {
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly hostname?: string;
  /** Where programs start that name no directory, instead of their user's home. */
  readonly cwd?: string;
  readonly clockUnixMs?: number;
  readonly entropyBase64?: string;
  readonly cpus?: number;
  /** It goes on from a snapshot: boot id anew, restore hooks run. */
  readonly restored?: boolean;
  /** 32 hex digits. */
  readonly machineId?: string;
}

export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

export interface ExecStartParams {
  readonly execId: string;
  readonly argv?: readonly string[];
  readonly command?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly stdin?: boolean;
  readonly pty?: TerminalSize;
  readonly timeoutMs?: number;
}

export interface ExitInfo {
  readonly exitCode: number;
  readonly signal?: string;
  readonly reason: 'exited' | 'signaled' | 'deadline';
  readonly truncatedStdoutBytes: number;
  readonly truncatedStderrBytes: number;
}

export interface OutputChunk {
  readonly channel: 'stdout' | 'stderr';
  readonly data: Buffer;
}

export interface ExecStream {
  readonly pid: number;
  readonly truncatedStdoutBytes: number;
  readonly truncatedStderrBytes: number;
  /** Credit goes back to the guest as this is consumed; leaving the loop early detaches. */
  readonly output: AsyncIterable<OutputChunk>;
  /** Undefined when it ended without the program having ended: detached, superseded, or a look at the ring. */
  readonly exited: Promise<ExitInfo | undefined>;
  detach(): void;
}

export interface GuestExec {
  readonly execId: string;
  readonly pid: number;
  readonly argv: readonly string[];
  readonly user: string;
  readonly startedUnixMs: number;
  readonly pty: boolean;
  readonly exited?: ExitInfo;
}

export interface FileEntry {
  readonly path: string;
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly user?: string;
  readonly group?: string;
  readonly modifiedUnixMs: number;
  readonly target?: string;
}

export interface FileEvent {
  readonly type: 'create' | 'write' | 'remove' | 'rename' | 'chmod' | 'overflow';
  readonly path: string;
}

export interface GuestMetrics {
  readonly uptimeMs: number;
  readonly processes: number;
  readonly agentRssBytes: number;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  readonly loadAverage1: number;
}
