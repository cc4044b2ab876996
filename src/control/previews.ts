/** Who may visit a port of a sandbox from outside: nobody, unless by a signed token that runs out, or all once published. */
import { createHmac } from 'node:crypto';
import { limits } from '../base/limits.ts';
import type { SandboxRow, Store } from '../store/types.ts';
import { needTenant, type Principal } from './access.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './recorder.ts';
import type { Sandboxes } from './sandboxes.ts';
import { refusalOf } from './state.ts';
import { sameText } from './tokens.ts';

export interface PreviewsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly sandboxes: Sandboxes;
  readonly tokenSecret: Buffer;
}

export interface SignedPreview {
  readonly token: string;
  readonly expiresAt: string;
}

/** Seconds since 1970 in base 36, and the seal over them. */
const tokenPattern = /^([0-9a-z]{1,9})\.[\w-]{43}$/;

export class Previews {
  readonly #options: PreviewsOptions;

  constructor(options: PreviewsOptions) {
    this.#options = options;
  }

  /**
   * A token that opens one port of one sandbox until it runs out or the sandbox ends. Nothing of it is stored.
   * @throws CasemateError `not_found`, `sandbox_ended`, `forbidden` for a key of one sandbox: it may be in the sandbox.
   */
  sign(principal: Principal, id: string, port: number, expiresInMs?: number): SignedPreview {
    needTenant(principal);
    const { sandboxes, clock, recorder } = this.#options;
    needThere(sandboxes.get(principal, id));
    const expiresAtSeconds = Math.ceil((clock.now() + (expiresInMs ?? limits.previewMsDefault)) / 1000);
    const expiresAt = new Date(expiresAtSeconds * 1000).toISOString();
    recorder.did(principal, 'port.sign', id, { port, expiresAt });
    return { token: this.#tokenOf(id, port, expiresAtSeconds), expiresAt };
  }

  /** Lets everybody visit a port, or nobody without a token again. @throws CasemateError as `sign` */
  publish(principal: Principal, id: string, port: number, isPublic: boolean): void {
    needTenant(principal);
    const { store, sandboxes, recorder } = this.#options;
    const row = needThere(sandboxes.get(principal, id));
    const others = (row.publicPorts ?? []).filter((other) => other !== port);
    store.sandboxes.update({ ...row, publicPorts: isPublic ? [...others, port] : others });
    recorder.did(principal, isPublic ? 'port.publish' : 'port.unpublish', id, { port });
  }

  isPublic(row: SandboxRow, port: number): boolean {
    return row.publicPorts?.includes(port) === true;
  }

  /** How long a token still opens the port, in milliseconds; undefined where it does not. */
  leftMs(id: string, port: number, token: string): number | undefined {
    const seconds = Number.parseInt(tokenPattern.exec(token)?.[1] ?? '', 36);
    if (Number.isNaN(seconds) || !sameText(this.#tokenOf(id, port, seconds), token)) return undefined;
    const left = seconds * 1000 - this.#options.clock.now();
    return left > 0 ? left : undefined;
  }

  #tokenOf(id: string, port: number, expiresAtSeconds: number): string {
    const seal = createHmac('sha256', this.#options.tokenSecret)
      .update(`preview ${id} ${port} ${expiresAtSeconds}`)
      .digest('base64url');
    return `${expiresAtSeconds.toString(36)}.${seal}`;
  }
}

/** @throws CasemateError `sandbox_ended`; a paused one may be there again. */
function needThere(row: SandboxRow): SandboxRow {
  const refusal = refusalOf(row);
  if (refusal?.code === 'sandbox_ended') throw refusal;
  return row;
}
