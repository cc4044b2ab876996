/** What the instructions of one stage have made so far. */
import type { TemplateConfig } from '../../store/templateTypes.ts';
import type { Lookup } from './words.ts';

export class StageState {
  /** From the lowest up. */
  readonly layers: string[];
  bytes = 0;
  readonly env: Map<string, string>;
  readonly args = new Map<string, string>();
  readonly labels: Map<string, string>;
  readonly ports: Set<string>;
  /** The default user of what is built; nobody said one yet where it is empty. */
  user: string;
  workdir: string;
  /** Whether an instruction or the image named the directory. */
  hasWorkdir: boolean;
  shell: readonly string[] = ['/bin/sh', '-c'];
  entrypoint: readonly string[] | undefined;
  cmd: readonly string[] | undefined;
  healthcheck: string | undefined;
  /** Directories that the next layer begins with. */
  folders: string[] = [];

  constructor(layers: readonly string[], config: Omit<TemplateConfig, 'start'>) {
    this.layers = [...layers];
    this.env = new Map(Object.entries(config.env));
    this.labels = new Map(Object.entries(config.labels));
    this.ports = new Set(config.ports);
    this.user = config.user;
    this.workdir = config.workdir ?? '/';
    this.hasWorkdir = config.workdir !== undefined;
    this.entrypoint = config.entrypoint;
    this.cmd = config.cmd;
    this.healthcheck = config.healthcheck;
  }

  /** A stage that begins with what another one has made. */
  copy(): StageState {
    const copied = new StageState(this.layers, this.config());
    copied.user = this.user;
    copied.shell = this.shell;
    copied.folders = [...this.folders];
    copied.bytes = this.bytes;
    return copied;
  }

  readonly lookup: Lookup = (name) => this.env.get(name) ?? this.args.get(name);

  /** What a program of RUN finds. */
  runEnvironment(): Record<string, string> {
    return { ...Object.fromEntries(this.args), ...Object.fromEntries(this.env) };
  }

  config(): Omit<TemplateConfig, 'start'> {
    return {
      env: Object.fromEntries(this.env),
      user: this.user,
      labels: Object.fromEntries(this.labels),
      ports: [...this.ports],
      ...(this.hasWorkdir ? { workdir: this.workdir } : {}),
      ...(this.entrypoint === undefined ? {} : { entrypoint: this.entrypoint }),
      ...(this.cmd === undefined ? {} : { cmd: this.cmd }),
      ...(this.healthcheck === undefined ? {} : { healthcheck: this.healthcheck }),
    };
  }
}
