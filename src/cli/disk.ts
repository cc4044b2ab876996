/** `casemate disk`: who takes up the server's disk, and the janitor. */
import type { Command } from 'commander';
import type { DiskEntry } from '../../sdk/typescript/src/index.ts';
import { clientOf, globalFlags } from './connection.ts';
import { jsonLine } from './harmless.ts';
import { printRows } from './print.ts';

const bytesPerMib = 1024 * 1024;
const mib = (bytes: number): string => `${(bytes / bytesPerMib).toFixed(1)} MiB`;
const ownerOf = ({ tenantIds, ownerless }: DiskEntry): string =>
  ownerless ? 'nobody' : tenantIds.length === 0 ? 'host' : tenantIds.join(',');
const columns = {
  KIND: (entry: DiskEntry) => entry.kind,
  ID: (entry: DiskEntry) => entry.id.slice(0, 20),
  NAME: (entry: DiskEntry) => entry.name,
  OWNER: ownerOf,
  SIZE: (entry: DiskEntry) => mib(entry.bytes),
};

export function diskCommand(program: Command): void {
  const disk = program
    .command('disk')
    .description('who takes up the disk of the server')
    .option('--all', 'each thing, and not only sums by owner and kind')
    .action(async (flags: { all?: boolean }) => {
      const report = await clientOf(program).disk.report();
      if (globalFlags(program).json === true) return void process.stdout.write(jsonLine(report));
      const { host, entries } = report;
      if (host !== undefined)
        process.stdout.write(
          `${mib(host.freeBytes)} of ${mib(host.totalBytes)} free; nothing new below ${mib(host.reservedBytes)}\n`,
        );
      if (flags.all === true) return printRows(program, entries, columns);
      printRows(program, sums(entries), {
        OWNER: (row) => row.owner,
        KIND: (row) => row.kind,
        THINGS: (row) => row.things,
        SIZE: (row) => mib(row.bytes),
      });
    });
  disk
    .command('clean')
    .description('take away what has no owner in the database')
    .option('--dry-run', 'only say what')
    .action(async (flags: { dryRun?: boolean }) => {
      const { entries } = await clientOf(program).disk.clean({ dryRun: flags.dryRun === true });
      printRows(program, entries, columns);
    });
}

interface Sum {
  readonly owner: string;
  readonly kind: string;
  readonly things: number;
  readonly bytes: number;
}

/** By owner and kind; what several tenants share stands in a line of its own. */
function sums(entries: readonly DiskEntry[]): Sum[] {
  const found = new Map<string, Sum>();
  for (const entry of entries) {
    const { kind } = entry;
    const owner = ownerOf(entry);
    const { things, bytes } = found.get(`${owner} ${kind}`) ?? { things: 0, bytes: 0 };
    found.set(`${owner} ${kind}`, { owner, kind, things: things + 1, bytes: bytes + entry.bytes });
  }
  return [...found.values()].sort((one, other) =>
    one.owner === other.owner ? other.bytes - one.bytes : one.owner < other.owner ? -1 : 1,
  );
}
