/** Calls each method of E2B's template builders in builds on a live server, and notes for each what became of its build. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOpts, LogEntry } from 'e2b';
import type { Recorder } from './surface.ts';

type Sdk = Omit<typeof import('e2b'), 'default'>;
/** Builders of both versions, whose types differ and whose calls do not. */
interface Builder {
  readonly [method: string]: (...given: unknown[]) => Builder;
}

/** The test registry's image, which is what `fromDebianImage` and the like are as well: an image by a name. */
const image = 'small:1';
const imageCalls = ['Debian', 'Ubuntu', 'Fedora', 'Alpine', 'Arch', 'Python', 'Node', 'Bun'].map(
  (name) => `from${name}Image`,
);
/** Calls that their SDK writes as `runCmd` of a program that the template has to have. */
const runCalls = ['pipInstall', 'npmInstall', 'bunInstall', 'aptInstall'];
const key = { accessKeyId: 'a', secretAccessKey: 'b', region: 'c' };

type Step = readonly [method: string, ...given: unknown[]];

/** Answers every request on port 8000; of what the small templates have, perl alone can. */
const server = `perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1);
while ($c = $s->accept) { print $c "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $c }'`;

const steps: readonly Step[] = [
  ['copy', 'a.txt', '/tmp/a.txt'],
  ['copyItems', [{ src: 'a.txt', dest: '/tmp/b.txt' }]],
  ['runCmd', 'test -e /tmp/a.txt'],
  ['makeDir', 'folder'],
  ['rename', '/tmp/a.txt', 'folder/a.txt'],
  ['makeSymlink', 'folder/a.txt', 'link'],
  ['remove', 'link'],
  ['setEnvs', { A: 'b' }],
  ['setUser', 'root'],
  ['setWorkdir', '/srv'],
  ['runCmd', 'git init --bare --quiet /srv/repository'],
  ['gitClone', 'file:///srv/repository', '/srv/clone'],
];

export async function templateCalls(sdk: Sdk, options: ConnectionOpts, recorder: Recorder): Promise<void> {
  const { Template } = sdk;
  recorder.watch(sdk.TemplateBase, 'Template');
  if (Object.hasOwn(Template, 'build')) recorder.watch(Template, 'Template'); // a year ago it had its own
  recorder.watch(sdk.LogEntry.prototype, 'LogEntry');
  const folder = mkdtempSync(join(tmpdir(), 'casemate-template-'));
  writeFileSync(join(folder, 'a.txt'), 'words');
  const begun = (): Builder => Template({ fileContextPath: folder }) as unknown as Builder;
  const heard: LogEntry[] = [];
  const outcome = async (builder: Builder, alias: string): Promise<string> => {
    const template = builder as unknown as Parameters<typeof Template.build>[0];
    const onBuildLogs = (entry: LogEntry): unknown => heard.push(entry);
    return Template.build(template, { ...options, alias, onBuildLogs }).then(
      () => '✓',
      (error: Error) => error.message,
    );
  };
  const note = (methods: readonly string[], became: string): void => {
    for (const method of methods) recorder.outcomes.set(`template.${method}`, became);
  };
  const from = (method: string, ...given: unknown[]): Builder | undefined => begun()[method]?.(...given);

  const start: Step = ['setStartCmd', server, sdk.waitForPort(8000)];
  const known = [...steps, start].filter(([method]) => begun()[method] !== undefined);
  const all = known.reduce<Builder>((builder, [method, ...given]) => {
    return builder[method]?.(...given) ?? builder;
  }, begun().fromBaseImage?.() as Builder);
  const built = await outcome(all, 'built');
  note([...known.map(([method]) => method), ...runCalls, 'fromBaseImage'], built);
  recorder.outcomes.set('functions.waitForPort', built);

  const skipping = from('fromTemplate', 'built')?.skipCache?.().runCmd?.('true');
  const ready = skipping?.setReadyCmd?.(sdk.waitForURL('http://127.0.0.1:8000/'));
  if (skipping !== undefined) note(['fromTemplate', 'skipCache'], await outcome(skipping, 'again'));
  if (ready !== undefined) {
    note(['setReadyCmd'], await outcome(ready, 'again'));
    recorder.outcomes.set('functions.waitForURL', recorder.outcomes.get('template.setReadyCmd') ?? '');
  }
  const plain = from('fromImage', image);
  if (plain !== undefined) note(['fromImage', ...imageCalls], await outcome(plain, 'image'));
  const file = from('fromDockerfile', `FROM ${image}\nENV A=b\n`);
  if (file !== undefined) note(['fromDockerfile'], await outcome(file, 'file'));
  const others: [method: string, builder: Builder | undefined][] = [
    ['fromAWSRegistry', from('fromAWSRegistry', image, key)],
    ['fromGCPRegistry', from('fromGCPRegistry', image, { serviceAccountJSON: {} })],
    ['addMcpServer', from('fromTemplate', 'mcp-gateway')?.addMcpServer?.('exa')],
    ['betaDevContainerPrebuild', from('fromTemplate', 'devcontainer')?.betaDevContainerPrebuild?.('/x')],
    ['betaSetDevContainerStart', from('fromTemplate', 'devcontainer')?.betaSetDevContainerStart?.('/x')],
  ];
  for (const [method, builder] of others)
    if (builder !== undefined) note([method], await outcome(builder, 'other'));
  for (const entry of heard) entry.toString();
  await templateStatics(sdk, options, begun().fromTemplate?.('built') as Builder, recorder);
  rmSync(folder, { recursive: true });
}

async function templateStatics(
  { Template, defaultBuildLogger }: Sdk,
  options: ConnectionOpts,
  builder: Builder,
  recorder: Recorder,
): Promise<void> {
  const tried = async (work: () => Promise<unknown> | undefined): Promise<void> => {
    await Promise.resolve()
      .then(work)
      .catch(() => {}); // noted by the recorder
  };
  const template = builder as unknown as Parameters<typeof Template.build>[0];
  await Template.toJSON(template, true);
  await tried(async () => Template.toDockerfile(Template().fromBaseImage()));
  await tried(async () => {
    const info = await Template.buildInBackground(template, { ...options, alias: 'later' });
    while (true) {
      const { status } = await Template.getBuildStatus(info, options);
      if (status !== 'building' && status !== 'waiting') break;
    }
  });
  const onBuildLogs = defaultBuildLogger({ minLevel: 'error' });
  await recorder.note(['functions.defaultBuildLogger'], () =>
    Template.build(template, { ...options, alias: 'later', onBuildLogs }),
  );
  await tried(() => Template.exists?.('base', options));
  await tried(() => Template.aliasExists?.('base', options));
  await tried(() => Template.assignTags?.('built:default', 'stable', options));
  await tried(() => Template.getTags?.('built', options));
  await tried(() => Template.removeTags?.('built', 'stable', options));
}
