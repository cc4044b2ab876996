/** Makes layers: each in a sandbox of its own under the build's egress policy, unless one of the same making is there. */
import { createHash } from 'node:crypto';
import type { EgressPolicy } from '../../../schema/policy.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { LayerSource, LiveSandbox, SandboxNode } from '../../node/types.ts';
import type { SandboxLimits } from '../../runtime/driver.ts';
import type { Egress } from '../egress.ts';
import { type BuildLog, LineCutter } from './buildLog.ts';
import { atLine } from './dockerfile.ts';
import type { StageState } from './state.ts';

/** Raised when a step of the same words makes another layer. */
const stepVersion = 1;

export interface RunnerOptions {
  readonly node: SandboxNode;
  readonly egress: Egress;
  readonly log: BuildLog;
  readonly tenantId: string;
  /** What RUN may reach. */
  readonly policy?: EgressPolicy;
  readonly administrator: boolean;
  readonly limits: SandboxLimits;
  readonly noCache: boolean;
  readonly signal: AbortSignal;
  /** Told of every layer that the build needs, so that nobody collects it meanwhile. */
  readonly onLayer: (digest: string) => void;
  /** Told of every cache that a step is given. */
  readonly onCache: (id: string) => void;
}

export interface LayerStep {
  readonly line: number;
  /** How it is shown. */
  readonly text: string;
  /** All that its outcome depends on besides the layers below, the tenant and the policy. */
  readonly inputs: unknown;
  /** Whether it may reach what the build's policy allows. */
  readonly network: boolean;
  readonly sources: () => Promise<{
    readonly sources: Readonly<Record<string, LayerSource>>;
    readonly done: () => Promise<void>;
  }>;
  readonly caches: readonly { readonly id: string; readonly target: string }[];
  readonly commands: readonly Command[];
  /** Puts files into the sandbox in another way, before the commands run. */
  readonly fill?: (sandbox: LiveSandbox, signal: AbortSignal) => Promise<void>;
}

export interface Command {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly cwd: string;
}

export const noSources = async () => ({ sources: {}, done: async (): Promise<void> => {} });

export class Runner {
  readonly #options: RunnerOptions;
  /** Without the cache every step is one that nobody has made. */
  readonly #anew: string;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#anew = options.noCache ? newId() : '';
  }

  /** Puts one more layer on the state. @throws CasemateError `build_failed`, which names the line */
  async add(state: StageState, step: LayerStep): Promise<void> {
    const { node, log, tenantId, policy, onLayer } = this.#options;
    this.#needGoOn();
    const folders = state.folders.splice(0);
    const reach = step.network ? (policy ?? {}) : {};
    const making = [stepVersion, tenantId, state.layers, folders, step.inputs, reach, this.#anew];
    const digest = createHash('sha256').update(JSON.stringify(making)).digest('hex');
    onLayer(digest);
    const isKnown = await node.builds.hasLayer(digest);
    log.write('build', `${step.text}${isKnown ? ' (unchanged)' : ''}`, step.line);
    if (!isKnown) await this.#make(state, step, folders, digest);
    state.layers.push(digest);
  }

  async #make(state: StageState, step: LayerStep, folders: string[], digest: string): Promise<void> {
    const { node, egress, onCache } = this.#options;
    for (const { id } of step.caches) onCache(id);
    const { sources, done } = await step.sources();
    let sandbox: LiveSandbox | undefined;
    try {
      sandbox = await node.builds.start({
        layers: state.layers,
        sources,
        caches: step.caches,
        limits: this.#options.limits,
      });
      const still = sandbox.rest.use(); // awake from here to its end
      await this.#bind(sandbox, step.network);
      await step.fill?.(sandbox, this.#options.signal);
      const folderCommands = folders.map((target): Command => {
        const argv = ['/.casemate/guest-agent', 'layer', JSON.stringify({ op: 'folder', target })];
        return { argv, env: {}, user: '0', cwd: '/' };
      });
      for (const command of [...folderCommands, ...step.commands]) await this.#run(sandbox, step, command);
      await egress.forget(sandbox.id);
      still();
      state.bytes += await node.builds.seal(sandbox, digest);
    } catch (error) {
      if (sandbox !== undefined) await this.#end(sandbox);
      this.#needGoOn();
      throw error instanceof CasemateError && error.code === 'build_failed'
        ? error
        : atLine(step.line, CasemateError.from(error).message, error);
    } finally {
      await done();
    }
  }

  async #bind(sandbox: LiveSandbox, network: boolean): Promise<void> {
    const { egress, policy, administrator, tenantId } = this.#options;
    const open = network && policy !== undefined ? { egress: { policy, administrator } } : {};
    await egress.bind(sandbox, { tenantId, template: sandbox.template, ...open });
  }

  async #end(sandbox: LiveSandbox): Promise<void> {
    const { egress, node } = this.#options;
    await egress.forget(sandbox.id);
    sandbox.rest.end();
    sandbox.guest.close();
    await node.destroy(sandbox.id);
  }

  async #run(sandbox: LiveSandbox, step: LayerStep, command: Command): Promise<void> {
    const { log, signal } = this.#options;
    const { argv, env, user, cwd } = command;
    const exec = await sandbox.guest.execStart(
      { execId: newId(), argv, env, user, cwd, timeoutMs: limits.buildStepMsMax },
      { signal },
    );
    const cutters = new Map(
      (['stdout', 'stderr'] as const).map((channel) => [
        channel,
        new LineCutter((text) => log.write(channel, text, step.line)),
      ]),
    );
    for await (const { channel, data } of exec.output) cutters.get(channel)?.push(data);
    for (const cutter of cutters.values()) cutter.end();
    const exit = await exec.exited;
    this.#needGoOn();
    if (exit?.exitCode === 0) return;
    const how =
      exit === undefined
        ? 'the sandbox ended'
        : exit.reason === 'deadline'
          ? `took longer than ${limits.buildStepMsMax / 60_000} minutes`
          : `ended with ${exit.exitCode}`;
    throw atLine(step.line, `${step.text.slice(0, 200)}: ${how}`);
  }

  #needGoOn(): void {
    if (this.#options.signal.aborted) throw new CasemateError('canceled', 'The build was canceled.');
  }
}
