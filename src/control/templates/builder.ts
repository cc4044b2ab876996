/** Builds the stages of a Dockerfile, those that the wanted one needs and no others. */
import type { ImageSource, LiveSandbox, SandboxNode } from '../../node/types.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { TemplateConfig } from '../../store/templateTypes.ts';
import type { Blobs, ContextEntry } from './blobs.ts';
import type { BuildLog } from './buildLog.ts';
import { copyTree } from './fromSandbox.ts';
import { args, atLine, type Instruction, type ParsedDockerfile, type Stage } from './dockerfile.ts';
import { apply, type Making } from './instructions.ts';
import type { Runner } from './runner.ts';
import { noSources } from './runner.ts';
import { type BuildRequest, configOf, imageReference } from './spec.ts';
import { StageState } from './state.ts';

/** Raised when an image is made into a template in another way. */
const setupVersion = 1;
const templateScheme = 'template://';
const sandboxScheme = 'sandbox://';

export interface BuilderOptions {
  readonly node: SandboxNode;
  readonly blobs: Blobs;
  readonly log: BuildLog;
  readonly runner: Runner;
  readonly tenantId: string;
  readonly request: BuildRequest;
  readonly parsed: ParsedDockerfile;
  readonly entries: readonly ContextEntry[];
  readonly onLayer: (digest: string) => void;
  /** What `FROM template://…` begins with. @throws CasemateError `not_found` */
  readonly template: (
    reference: string,
  ) => Promise<{ layers: readonly string[]; config: Omit<TemplateConfig, 'start'> }>;
  /** The running sandbox of `FROM sandbox://…`, in use until `done`. @throws CasemateError `not_found`, `conflict` */
  readonly sandbox: (id: string) => Promise<UsedSandbox>;
}

export interface UsedSandbox {
  readonly live: LiveSandbox;
  readonly layers: readonly string[];
  readonly config: Omit<TemplateConfig, 'start'>;
  readonly done: () => void;
}

export class Builder implements Making {
  readonly #options: BuilderOptions;
  readonly #stages = new Map<number, Promise<StageState>>();
  readonly #images = new Map<string, Promise<{ layer: string; config: string }>>();
  #instructionsDone = 0;
  #instructionsAll = 1;

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  get runner(): Runner {
    return this.#options.runner;
  }

  get blobs(): Blobs {
    return this.#options.blobs;
  }

  get entries(): readonly ContextEntry[] {
    return this.#options.entries;
  }

  get tenantId(): string {
    return this.#options.tenantId;
  }

  /** @throws CasemateError `build_failed`, `canceled` */
  async build(): Promise<StageState> {
    const { parsed, request } = this.#options;
    const wanted =
      request.target === undefined ? parsed.stages.at(-1) : this.#find(request.target, parsed.stages.length);
    if (wanted === undefined)
      throw new CasemateError('invalid_request', `There is no stage ${JSON.stringify(request.target)}.`);
    this.#instructionsAll = parsed.stages
      .slice(0, wanted.index + 1)
      .reduce((sum, stage) => sum + stage.instructions.length + 1, 1);
    return this.#stage(wanted);
  }

  /** Directories of WORKDIR that no later step has made. */
  async #flush(state: StageState, line: number): Promise<void> {
    if (state.folders.length === 0) return;
    await this.runner.add(state, {
      line,
      text: `WORKDIR ${state.folders.at(-1) ?? ''}`,
      inputs: 'folders',
      network: false,
      sources: noSources,
      caches: [],
      commands: [],
    });
  }

  /** A stage by its name or number, of those in front of the one that asks. */
  #find(text: string, before: number): Stage | undefined {
    const earlier = this.#options.parsed.stages.slice(0, before);
    return (
      earlier.findLast(({ name }) => name === text.toLowerCase()) ??
      (/^\d+$/.test(text) ? earlier[Number(text)] : undefined)
    );
  }

  #stage(stage: Stage): Promise<StageState> {
    let state = this.#stages.get(stage.index);
    if (state === undefined) {
      state = this.#buildStage(stage);
      this.#stages.set(stage.index, state);
    }
    return state;
  }

  async #buildStage(stage: Stage): Promise<StageState> {
    const { log, request, parsed } = this.#options;
    const state = await this.#begin(stage);
    this.#step();
    let layersLeft: number = limits.buildStepsMax;
    for (const instruction of stage.instructions) {
      if (instruction.keyword === 'ARG') this.#declare(state, instruction);
      else {
        const before = state.layers.length;
        await apply(this, state, stage, instruction);
        layersLeft -= state.layers.length - before;
      }
      if (layersLeft < 0)
        throw atLine(
          instruction.line,
          `a build has ${limits.buildStepsMax} steps that change files at most.`,
        );
      this.#step();
    }
    await this.#flush(state, stage.instructions.at(-1)?.line ?? stage.line);
    log.progress(stage === parsed.stages.at(-1) || request.target !== undefined ? 95 : log.percent);
    return state;
  }

  #step(): void {
    this.#instructionsDone += 1;
    this.#options.log.progress((95 * this.#instructionsDone) / this.#instructionsAll);
  }

  /** A value that the request has wins over the default; one in front of the first FROM is seen when it is declared. */
  #declare(state: StageState, instruction: Instruction): void {
    const { request, parsed } = this.#options;
    for (const [name, fallback] of args(instruction, state.lookup)) {
      const value = request.buildArgs?.[name] ?? fallback ?? parsed.globals.get(name);
      if (value !== undefined) state.args.set(name, value);
    }
  }

  async #begin(stage: Stage): Promise<StageState> {
    const { log } = this.#options;
    log.write('build', `FROM ${stage.from}`, stage.line);
    const earlier = this.#find(stage.from, stage.index);
    if (earlier !== undefined) return (await this.#stage(earlier)).copy();
    if (stage.from.startsWith(templateScheme)) {
      const { layers, config } = await this.#template(stage.from, stage.line);
      for (const layer of layers) this.#options.onLayer(layer);
      return new StageState(layers, config);
    }
    if (stage.from.startsWith(sandboxScheme)) return this.#beginWithSandbox(stage);
    const { layer, config } = await this.#image(stage.from, stage.line);
    const { shell, onBuild, ...rest } = configOf(config);
    if (onBuild) log.write('build', 'The image’s ONBUILD instructions are left out.', stage.line);
    const state = new StageState([layer], rest);
    if (shell !== undefined && shell.length > 0) state.shell = shell;
    if (state.workdir !== '/') state.folders.push(state.workdir); // an image may name one that it does not have
    await this.runner.add(state, {
      line: stage.line,
      text: 'make it a template: a user, name resolution, the agent',
      inputs: ['setup', setupVersion],
      network: false,
      sources: noSources,
      caches: [],
      commands: [
        {
          argv: ['/.casemate/guest-agent', 'layer', '{"op":"setup"}'],
          env: {},
          user: '0',
          cwd: '/',
        },
      ],
    });
    return state;
  }

  /** Its template, and a layer of what it changed. A sandbox has other files each time: nothing of it is found again. */
  async #beginWithSandbox({ from, line }: Stage): Promise<StageState> {
    const used = await this.#options.sandbox(from.slice(sandboxScheme.length)).catch((error: unknown) => {
      throw atLine(line, CasemateError.from(error).message, error);
    });
    try {
      for (const layer of used.layers) this.#options.onLayer(layer);
      const state = new StageState(used.layers, used.config);
      await this.runner.add(state, {
        line,
        text: 'take what the sandbox has changed',
        inputs: ['sandbox', used.live.id, newId()],
        network: false,
        sources: noSources,
        caches: [],
        commands: [],
        fill: (sandbox, signal) =>
          copyTree({
            from: used.live.guest,
            to: sandbox.guest,
            signal,
            onComplaint: (text) => this.#options.log.write('stderr', text, line),
          }),
      });
      return state;
    } finally {
      used.done();
    }
  }

  async #template(text: string, line: number) {
    try {
      return await this.#options.template(text.slice(templateScheme.length));
    } catch (error) {
      throw atLine(line, CasemateError.from(error).message, error);
    }
  }

  /** The layers that `COPY --from` names: an earlier stage, a template or an image. */
  async layersNamed(text: string, stage: Stage, line: number): Promise<readonly string[]> {
    const earlier = this.#find(text, stage.index);
    if (earlier !== undefined) return (await this.#stage(earlier)).layers;
    if (text.startsWith(templateScheme)) return (await this.#template(text, line)).layers;
    return [(await this.#image(text, line)).layer];
  }

  #image(text: string, line: number): Promise<{ layer: string; config: string }> {
    let image = this.#images.get(text);
    if (image === undefined) {
      image = this.#pull(text, line);
      this.#images.set(text, image);
    }
    return image;
  }

  async #pull(text: string, line: number): Promise<{ layer: string; config: string }> {
    const { node, log, onLayer, blobs } = this.#options;
    const { source, drop } = await this.#imageSource(text, line);
    try {
      const pulled = await node.builds.pull(source, (message) => log.write('build', message, line));
      onLayer(pulled.layer);
      return pulled;
    } catch (error) {
      throw atLine(line, CasemateError.from(error).message, error);
    } finally {
      if (drop !== undefined) await blobs.drop(drop);
    }
  }

  async #imageSource(text: string, line: number): Promise<{ source: ImageSource; drop?: string }> {
    const { blobs, tenantId, request } = this.#options;
    const own = request.images?.[text];
    if (own?.archive !== undefined) {
      const drop = await blobs.asFile(tenantId, own.archive);
      return { source: { kind: 'archive', id: drop }, drop };
    }
    if (own?.layout !== undefined) {
      const drop = await blobs.asFolder(tenantId, await blobs.entries(tenantId, own.layout), {
        readable: true,
      });
      return { source: { kind: 'layout', id: drop }, drop };
    }
    if (text === 'scratch') return { source: { kind: 'scratch' } };
    const reference = imageReference(text);
    if (reference === undefined) throw atLine(line, `${JSON.stringify(text)} is not the name of an image.`);
    return { source: reference };
  }
}
