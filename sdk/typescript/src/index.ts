/** Casemate: run code that nobody trusts in a real sandbox on your own machine. */
export { Casemate } from './client.ts';
export type {
  CodeContext,
  CodeExecution,
  CodeLanguage,
  CodeResult,
  RunCodeOptions,
} from './code.ts';
export { Disk, type DiskEntry, type DiskReport } from './disk.ts';
export { CasemateError, type ErrorCode, errorCodes } from './errors.ts';
export type { ExecResult } from './exec.ts';
export { Files, type ReadOptions, type WriteOptions } from './files.ts';
export { type PortForward, Ports, type Preview } from './ports.ts';
export { type OutputChunk, SandboxProcess, type Signal } from './process.ts';
export {
  type CreateOptions,
  type ExecBytesOptions,
  type ExecOptions,
  type ListOptions,
  type PtyOptions,
  Sandbox,
  type SpawnOptions,
} from './sandbox.ts';
export {
  type BuildLogLine,
  type BuildOptions,
  type Collected,
  type TemplateDetail,
  Templates,
  type TemplateSource,
  type TemplateVersion,
} from './templates.ts';
export { type CopyOptions, template, TemplateBuilder, type TemplateStart } from './templateBuilder.ts';
export type { ConnectionOptions } from './transport.ts';
export type * from './types.ts';
export type { Bytes } from './upload.ts';
export { VolumeFiles, type VolumeOwner, type VolumeWriteOptions } from './volumeFiles.ts';
export { type CreateVolumeOptions, Volume, Volumes } from './volumes.ts';
