/** Templates written as a program: each call adds a step, and the server builds what they say. */
import { CasemateError } from './errors.ts';

/** What a sandbox runs before anybody gets it. */
export interface TemplateStart {
  readonly command: string;
  /** Run again and again until it ends with 0. */
  readonly ready?: string;
  readonly readyTimeoutMs?: number;
}

export interface CopyOptions {
  /** `user`, `user:group` or numbers; root by default. */
  readonly owner?: string;
  /** Permission bits; those of the file by default. */
  readonly mode?: number;
}

type OneOrMore = string | readonly string[];

/** Text of a Dockerfile in which nothing is a variable. */
function quoted(text: string): string {
  if (/[\n\r]/.test(text))
    throw new CasemateError('invalid_request', 'A step of a template has no line breaks in it.');
  return text.replaceAll(/[\\"'$]/g, '\\$&');
}

function list(items: OneOrMore): readonly string[] {
  return typeof items === 'string' ? [items] : items;
}

/** Safe as a word of a shell. */
function word(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./~^<>!-]+$/.test(text) && !/[<>!~^]/.test(text)
    ? text
    : `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * A template as a list of steps. A builder never changes: each call answers another one.
 * @example
 * const web = template()
 *   .fromImage('python:3.12')
 *   .aptInstall(['curl'])
 *   .pipInstall('flask')
 *   .copy('src', '/app')
 *   .env({ PORT: '8000' })
 *   .start('python /app/server.py', 'curl -sf localhost:8000')
 * await new Casemate().templates.buildFrom('web', web, { policy: { allow: [{ preset: 'pip' }, { preset: 'apt' }] } })
 */
export class TemplateBuilder {
  readonly #from: string;
  readonly #lines: readonly string[];
  readonly #sources: readonly string[];
  readonly startCommand: TemplateStart | undefined;

  constructor(
    from: string,
    lines: readonly string[] = [],
    sources: readonly string[] = [],
    startCommand?: TemplateStart,
  ) {
    this.#from = from;
    this.#lines = lines;
    this.#sources = sources;
    this.startCommand = startCommand;
  }

  #with(lines: readonly string[], sources: readonly string[] = []): TemplateBuilder {
    return new TemplateBuilder(
      this.#from,
      [...this.#lines, ...lines],
      [...this.#sources, ...sources],
      this.startCommand,
    );
  }

  #begin(from: string): TemplateBuilder {
    return new TemplateBuilder(from, this.#lines, this.#sources, this.startCommand);
  }

  /** Begins with an image of a registry that the server may use. */
  fromImage(image: string): TemplateBuilder {
    return this.#begin(image);
  }

  /** Begins with the files of a running sandbox, as they are when it is built; what lies in /tmp and /run stays behind. */
  fromSandbox(sandboxId: string): TemplateBuilder {
    return this.#begin(`sandbox://${sandboxId}`);
  }

  /** Begins with another template: shipped, one's own, or one that another tenant shows. */
  fromTemplate(reference: string): TemplateBuilder {
    return this.#begin(`template://${reference}`);
  }

  /** Runs a command line with `/bin/sh`, as the user that was named last; as root by default. */
  run(command: string): TemplateBuilder {
    return this.#with([`RUN ${JSON.stringify(['/bin/sh', '-ec', command])}`]);
  }

  /** Debian packages; needs a policy that allows `{ preset: 'apt' }`. */
  aptInstall(packages: OneOrMore): TemplateBuilder {
    const names = list(packages).map(word).join(' ');
    return this.run(
      `apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${names} && rm -rf /var/lib/apt/lists/*`,
    );
  }

  /** Python packages; needs a policy that allows `{ preset: 'pip' }`. */
  pipInstall(packages: OneOrMore): TemplateBuilder {
    const names = list(packages).map(word).join(' ');
    return this.run(`PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir ${names}`);
  }

  /** Programs and packages of npm, for all users; needs a policy that allows `{ preset: 'npm' }`. */
  npmInstall(packages: OneOrMore): TemplateBuilder {
    return this.run(`npm install --global ${list(packages).map(word).join(' ')}`);
  }

  /** Copies files and folders of the build context: the folder that `buildFrom` is given, or the one that it runs in. */
  copy(sources: OneOrMore, target: string, options: CopyOptions = {}): TemplateBuilder {
    const flags = [
      ...(options.owner === undefined ? [] : [`--chown=${quoted(options.owner)} `]),
      ...(options.mode === undefined ? [] : [`--chmod=${options.mode.toString(8)} `]),
    ].join('');
    const paths = [...list(sources), target].map((path) => quoted(path));
    return this.#with([`COPY ${flags}${JSON.stringify(paths)}`], list(sources));
  }

  env(variables: Readonly<Record<string, string>>): TemplateBuilder {
    return this.#with(Object.entries(variables).map(([name, value]) => `ENV ${name}="${quoted(value)}"`));
  }

  /** Where later steps and the sandbox's programs start; made where it is not there. */
  workdir(path: string): TemplateBuilder {
    return this.#with([`WORKDIR "${quoted(path)}"`]);
  }

  /** Whom later steps and the sandbox's programs run as. */
  user(name: string): TemplateBuilder {
    return this.#with([`USER "${quoted(name)}"`]);
  }

  /** What every sandbox has run, and passed, before anybody gets it. */
  start(command: string, ready?: string, options: { readyTimeoutMs?: number } = {}): TemplateBuilder {
    return new TemplateBuilder(this.#from, this.#lines, this.#sources, {
      command,
      ...(ready === undefined ? {} : { ready }),
      ...options,
    });
  }

  /** The same steps as a Dockerfile. */
  toDockerfile(): string {
    return `${[`FROM ${this.#from}`, ...this.#lines].join('\n')}\n`;
  }

  /** Paths of the build context that its steps copy. */
  get sources(): readonly string[] {
    return this.#sources;
  }
}

/** Begins a template; with the shipped `base` where nothing else is said. */
export function template(): TemplateBuilder {
  return new TemplateBuilder('template://base');
}
