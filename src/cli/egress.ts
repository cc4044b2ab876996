/** `casemate egress`: what a sandbox may reach, and what it was denied. */
import type { Command } from 'commander';
import type { AuditEvent, EgressPolicy } from '../../sdk/typescript/src/index.ts';
import { clientOf, sandboxOf } from './connection.ts';
import { harmless, jsonLine } from './harmless.ts';
import { printOne, printRows } from './print.ts';

const followMs = 1000;
const columns = {
  TIME: (row: AuditEvent) => row.at,
  WHAT: (row: AuditEvent) => row.action.replace('network.', ''),
  HOST: (row: AuditEvent) => text(row.detail.host),
  PORT: (row: AuditEvent) => text(row.detail.port),
  WHY: (row: AuditEvent) => text(row.detail.rule),
  HINT: (row: AuditEvent) => text(row.detail.hint),
};

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

export function egressCommand(program: Command): void {
  const egress = program.command('egress').description('what sandboxes may reach');
  egress
    .command('log')
    .description('what a sandbox reached and was denied, oldest first')
    .argument('<sandbox>', 'sandbox id')
    .option('-f, --follow', 'go on with what comes')
    .action(async (id: string, flags: { follow?: boolean }) => {
      let last = 0;
      do {
        const events = (await clientOf(program).audit.list({ sandboxId: id, limit: 1000 }))
          .filter((event) => event.action.startsWith('network.') && event.seq > last)
          .reverse();
        if (events.length > 0 || last === 0) printRows(program, events, columns);
        last = events.at(-1)?.seq ?? Math.max(last, 1);
        if (flags.follow === true) await new Promise((resolve) => setTimeout(resolve, followMs));
      } while (flags.follow === true);
    });
  egress
    .command('learn')
    .description('print the smallest policy that allows what a sandbox was denied; nothing is opened')
    .argument('<sandbox>', 'sandbox id, best of one that was created with --learn')
    .action(async (id: string) => {
      const { policy, remarks, incomplete } = await (await sandboxOf(program, id)).learned();
      process.stdout.write(jsonLine(policy));
      for (const remark of remarks) process.stderr.write(`not opened: ${harmless(remark)}\n`);
      if (incomplete)
        process.stderr.write('There were more denials than the log keeps: run it again with this.\n');
    });
  egress
    .command('allow')
    .description('let a running sandbox reach one more host')
    .argument('<sandbox>', 'sandbox id')
    .argument('<host>', 'name, *.name, name:port, or name:port/udp')
    .action(async (id: string, host: string) => {
      const sbx = await sandboxOf(program, id);
      const policy = (await sbx.info()).policy ?? {};
      printOne(
        program,
        await sbx.setPolicy({ ...policy, allow: [...(policy.allow ?? []), allowed(host)] }),
        id,
      );
    });
}

type Allowance = NonNullable<EgressPolicy['allow']>[number];

/** `host`, `host:port` or `host:port/udp`; `preset:pip` is what the server's package client uses. */
export function allowed(word: string): Allowance {
  const preset = /^preset:(pip|npm|apt|cargo|go)$/.exec(word)?.[1];
  if (preset !== undefined) return { preset: preset as 'pip' };
  const [, host = word, port, udp] = /^(.*?)(?::(\d+)(\/udp)?)?$/.exec(word) ?? [];
  if (port === undefined) return { host };
  return { host, ports: [Number(port)], ...(udp === undefined ? {} : { protocol: 'udp' }) };
}
