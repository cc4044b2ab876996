/** `casemate serve`: the whole server on this machine, in the foreground. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  defaultDataDir,
  defaultPort,
  parsePool,
  parseRegistry,
  type PoolSetting,
  type RegistrySetting,
} from '../base/config.ts';
import { serve } from '../main.ts';

interface ServeFlags {
  host: string;
  port: string;
  dataDir: string;
  pool: PoolSetting[];
  registry: RegistrySetting[];
  gvisorPlatform?: 'systrap' | 'ptrace';
  e2bPreviews?: 'public' | 'private';
  e2bInternet: 'packages' | 'open' | 'closed';
  domain?: string;
  secretKeyFile?: string;
  secretKeyCommand?: string[];
  tlsCert?: string;
  tlsKey?: string;
}

const internetWords = {
  packages: 'the package indexes alone (--e2b-internet open gives all of it)',
  open: 'the internet (--e2b-internet packages gives the package indexes alone)',
  closed: 'nothing',
} as const;

/** Adds the verb. Under `--json` one line `{"url", "keyFile"}` on stdout says that the API answers. */
export function serveCommand(program: Command): void {
  program
    .command('serve')
    .description('run the server on this machine (as root)')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port to listen on; 0 takes a free one', String(defaultPort))
    .option(
      '--data-dir <folder>',
      'where state, templates and sandboxes live',
      process.env.CASEMATE_DATA_DIR ?? defaultDataDir,
    )
    .option(
      '--pool <template[@runtime]=n>',
      'keep n warm sandboxes; repeatable',
      (text: string, before: PoolSetting[]) => [...before, parsePool(text)],
      [],
    )
    .option(
      '--registry <name[=url]>',
      'let builds pull images from here; hub is where names without a registry lead; repeatable',
      (text: string, before: RegistrySetting[]) => [...before, parseRegistry(text)],
      [],
    )
    .option(
      '--domain <name>',
      'serve *.<name> with TLS; without --tls-cert by an authority of its own, whose file is printed',
    )
    .option('--tls-cert <file>', 'certificate with its chain (PEM): TLS on the same port; needs --tls-key')
    .option('--tls-key <file>', 'key of the certificate (PEM)')
    .option(
      '--secret-key-file <file>',
      'key that secrets are sealed with; made in the data directory by default',
    )
    .option(
      '--secret-key-command <json>',
      'program and arguments, as a JSON list, that print that key: a client of a key management service',
      words,
    )
    .addOption(
      new Option(
        '--e2b-previews <who>',
        'who may visit ports of sandboxes by {port}-{id}.<domain>; public on loopback, else private',
      ).choices(['public', 'private']),
    )
    .addOption(
      new Option(
        '--e2b-internet <ceiling>',
        'what sandboxes of E2B clients get that ask for the internet, as all do unless told otherwise',
      )
        .choices(['packages', 'open', 'closed'])
        .default('packages'),
    )
    .option('--gvisor-platform <name>', 'systrap or ptrace; the best that works here by default')
    .action(async (flags: ServeFlags) => {
      const { tlsCert, tlsKey } = flags;
      if ((tlsCert === undefined) !== (tlsKey === undefined)) {
        program.error('--tls-cert and --tls-key belong together');
      }
      const serving = await serve({
        host: flags.host,
        port: Number(flags.port),
        dataDir: flags.dataDir,
        pools: flags.pool,
        e2bInternet: flags.e2bInternet,
        registries: flags.registry,
        ...(flags.domain === undefined ? {} : { domain: flags.domain }),
        ...(flags.secretKeyFile === undefined ? {} : { secretKeyFile: resolve(flags.secretKeyFile) }),
        ...(flags.secretKeyCommand === undefined ? {} : { secretKeyCommand: flags.secretKeyCommand }),
        ...(flags.e2bPreviews === undefined ? {} : { e2bPreviews: flags.e2bPreviews }),
        ...(tlsCert === undefined || tlsKey === undefined
          ? {}
          : { tls: { certFile: resolve(tlsCert), keyFile: resolve(tlsKey) } }),
        ...(flags.gvisorPlatform === undefined ? {} : { gvisorPlatform: flags.gvisorPlatform }),
      });
      const json = program.opts<{ json?: boolean }>().json === true;
      const { url, keyFile, caFile } = serving;
      process.stdout.write(
        json
          ? `${JSON.stringify({ url, keyFile, caFile })}\n`
          : `Casemate answers on ${url}\nkey: ${keyFile}\n${caFile === undefined ? '' : `authority to trust: ${caFile}\n`}E2B clients that ask for the internet get: ${internetWords[flags.e2bInternet]}\n`,
      );
      await new Promise<void>((resolve) => {
        process.once('SIGTERM', resolve);
        process.once('SIGINT', resolve);
      });
      await serving.stop();
      process.exit(0);
    });
}

function words(text: string): string[] {
  const hint = 'write a JSON list of words, like ["vault", "read", "…"]';
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw new InvalidArgumentError(hint);
  }
  if (!Array.isArray(list) || list.length === 0) throw new InvalidArgumentError(hint);
  return list.map((word: unknown) => {
    if (typeof word !== 'string') throw new InvalidArgumentError(hint);
    return word;
  });
}
