/** What control and the proxy say to each other: one JSON object a line over a Unix socket. */
import type { ErrorCode } from '../base/errors.ts';
import type { EgressEvent, KernelRefusal, SandboxSettings } from './types.ts';

export interface EgressMethods {
  set: { params: SandboxSettings; result: { caCertificate?: string } };
  remove: { params: { id: string }; result: Record<string, never> };
  keepOnly: { params: { ids: readonly string[] }; result: Record<string, never> };
  refused: { params: KernelRefusal; result: Record<string, never> };
}

export type EgressRequest = {
  [Method in keyof EgressMethods]: {
    readonly number: number;
    readonly method: Method;
    readonly params: EgressMethods[Method]['params'];
  };
}[keyof EgressMethods];

export type EgressAnswer =
  | { readonly number: number; readonly result: unknown }
  | { readonly number: number; readonly error: { code: ErrorCode; message: string; hint: string } }
  | { readonly event: EgressEvent };
