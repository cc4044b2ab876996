/** Runs each command of E2B's own command line against a live server, and holds the table in docs/e2b.md to what became of it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type DomainServer, startDomainServer } from './domain.ts';
import { type CliOptions, commandsOf, runCli } from './e2b/cli.ts';
import { holdBlock, table, versionOf } from './e2b/surface.ts';
import { missingForServer } from './server.ts';

describe('E2B’s command line', { skip: missingForServer() ?? false }, () => {
  let domain: DomainServer;
  let folder: string;
  /** By command: `✓`, or what it ends with. */
  const outcomes = new Map<string, string>();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'casemate-cli-'));
    domain = await startDomainServer('own');
  });
  after(async () => {
    await domain?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const settings = (): CliOptions => ({ folder, env: domain.env });

  /** Notes that a command came to a good end. @param command its words, with their options before what they are about. */
  async function e2b(
    command: string,
    argv: readonly string[] = [],
    how: Partial<CliOptions> & { code?: number } = {},
  ): Promise<string> {
    const { code = 0, ...options } = how;
    const run = await runCli([...command.split(' '), ...argv], { ...settings(), ...options });
    assert.equal(run.code, code, `e2b ${command} ${argv.join(' ')}: ${run.output}`);
    outcomes.set(command, '✓');
    return run.output;
  }

  const newSandbox = async (...argv: string[]): Promise<string> =>
    (await e2b('sandbox create', ['--detach', ...argv])).trim();

  it('makes, shows, uses, snapshots, pauses and ends sandboxes', async () => {
    const id = await newSandbox('--timeout', '300', 'base');
    const [listed] = JSON.parse(await e2b('sandbox list', ['--format', 'json'])) as { sandboxId: string }[];
    assert.equal(listed?.sandboxId, id);
    assert.match(await e2b('sandbox info', [id]), new RegExp(`Sandbox ID: ${id}\n`));
    const exec = ['--env', 'A=b', '--cwd', '/tmp', id, 'echo $A; pwd; exit 3'];
    assert.match(await e2b('sandbox exec', exec, { code: 3 }), /^b\n\/tmp\n/);
    const numbered = await e2b('sandbox exec', [id, 'cat', '-n'], { input: 'one\ntwo\n' });
    assert.match(numbered, /^ +1\tone\n +2\ttwo\n$/);
    assert.match(await e2b('sandbox metrics', [id]), /CPU: .*Memory: +\d+ \/ 512 +MiB \| Disk: +\d+ \/ 2048/);
    assert.match(await e2b('sandbox logs', ['--level', 'INFO', id]), /INFO.*sandbox\.create/);
    const json = (await e2b('sandbox logs', ['--format', 'json', id])).trim().split('\n');
    const actions = json.map((line) => (JSON.parse(line) as { message: string }).message);
    assert.ok(actions.includes('exec.start'), actions.join());
    await e2b('sandbox snapshot create', ['--name', 'snap', id]);
    assert.match(await e2b('sandbox snapshot list', [id]), /^snap /m);
    await e2b('sandbox snapshot delete', ['snap']);
    assert.match(await e2b('sandbox snapshot list'), /No snapshots found/);
    await e2b('sandbox pause', [id]);
    assert.match(await e2b('sandbox list', ['--state', 'paused']), new RegExp(`^${id} .* Paused `, 'm'));
    await e2b('sandbox resume', [id]);
    await e2b('sandbox kill', [id]);
    assert.equal((await e2b('sandbox list', ['--format', 'json'])).trim(), '[]');
    assert.match(await e2b('sandbox info', [id], { code: 1 }), /wasn't found/);
  });

  it('gives terminals', async () => {
    const id = await newSandbox();
    const typed = [
      [/\$ $/, 'stty size; echo $((6 * 7))\r'],
      [/\n42\r/, 'exit\r'],
    ] as const;
    const screen = /30 100\s+42\s[\s\S]*Closing terminal/;
    assert.match(await e2b('sandbox connect', [id], { typed }), screen);
    assert.match(await e2b('sandbox create', ['base'], { typed }), screen);
    assert.match(await e2b('sandbox kill', ['--all']), new RegExp(`${id} has been killed`));
  });

  it('builds, lists, publishes and deletes templates', async () => {
    const file = 'FROM e2bdev/base\nCOPY words /opt/words\nRUN test -e /opt/words\n';
    writeFileSync(join(folder, 'e2b.Dockerfile'), file);
    writeFileSync(join(folder, 'words'), 'words\n');
    const built = await e2b('template create', ['from-cli', '--memory-mb', '256', '--cpu-count', '1']);
    assert.match(built, /RUN test -e \/opt\/words[\s\S]*from-cli finished/);
    assert.match(await e2b('template list'), /^Private +from-cli +from-cli +1 +256 /m);
    const id = await newSandbox('from-cli');
    assert.equal(await e2b('sandbox exec', [id, 'cat /opt/words']), 'words\n');
    await e2b('sandbox kill', [id]);
    await e2b('template publish', ['from-cli', '--yes']);
    assert.match(await e2b('template list'), /^Public +from-cli /m);
    await e2b('template unpublish', ['from-cli', '--yes']);
    await e2b('template delete', ['from-cli', '--yes']);
    assert.doesNotMatch(await e2b('template list'), /from-cli/);
    await e2b('template init', ['--name', 'mine', '--language', 'typescript']);
    await e2b('template migrate', ['--language', 'typescript']);
  });

  it('has a key for its login, and no account', async () => {
    assert.match(await e2b('auth info'), /Not logged in/);
    await e2b('auth logout');
    assert.match(await e2b('auth configure'), /run `e2b auth login` to log in first/);
    for (const command of ['auth login', 'auth configure'])
      outcomes.set(command, 'asks E2B’s dashboard; `E2B_API_KEY` is the login');
  });

  it('ends as docs/e2b.md says, command by command', async () => {
    const commands = await commandsOf(settings());
    const named = commands.map((command): [string, string] => [
      command.replace(/ (\w+)$/, '.$1'), // as a method of its group
      outcomes.get(command) ?? 'no test calls it',
    ]);
    const column = { title: versionOf('@e2b/cli'), outcomes: new Map(named) };
    holdBlock('commands of the command line', table([column]).replace('calls', 'commands'));
  });
});
