/** `casemate policy`: what a sandbox, all of a template or all of a tenant may reach. */
import type { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { CasemateError, type EgressPolicy, type PolicyPlace } from '../../sdk/typescript/src/index.ts';
import { clientOf, sandboxOf } from './connection.ts';
import { jsonLine } from './harmless.ts';
import { printOne } from './print.ts';

interface Flags {
  tenant?: string | true;
  template?: string;
  file?: string;
}

export function policyCommand(program: Command): void {
  const policy = program
    .command('policy')
    .description('what sandboxes may reach, by sandbox, template or tenant');
  withPlace(policy.command('get').description('print a policy')).action(
    async (id: string | undefined, flags: Flags) => {
      const place = placeOf(id, flags);
      const found =
        typeof place === 'string'
          ? ((await (await sandboxOf(program, place)).info()).policy ?? {})
          : await clientOf(program).policies.get(place);
      process.stdout.write(jsonLine(found));
    },
  );
  withPlace(
    policy.command('set').description('set a policy, read from stdin or a file; it is in force at once'),
  )
    .option('--file <file>', 'read the policy (JSON) from this file instead of stdin')
    .action(async (id: string | undefined, flags: Flags) => {
      const place = placeOf(id, flags);
      const written = policyFrom(flags.file);
      if (typeof place === 'string') await (await sandboxOf(program, place)).setPolicy(written);
      else await clientOf(program).policies.set(place, written);
      printOne(program, { set: true }, 'set');
    });
  withPlace(policy.command('rm').description('remove a policy of a template or a tenant')).action(
    async (id: string | undefined, flags: Flags) => {
      const place = placeOf(id, flags);
      if (typeof place === 'string') {
        throw new CasemateError('invalid_request', 'A sandbox has a policy always: set {} to close it.');
      }
      await clientOf(program).policies.remove(place);
      printOne(program, { removed: true }, 'removed');
    },
  );
}

function withPlace(command: Command): Command {
  return command
    .argument('[sandbox]', 'sandbox id')
    .option('--tenant [id]', 'the policy of your tenant, or of this one (for administrators)')
    .option('--template <name>', 'the policy of this template in the tenant');
}

function placeOf(id: string | undefined, { tenant, template }: Flags): string | PolicyPlace {
  if ((id === undefined) === (tenant === undefined && template === undefined)) {
    throw new CasemateError('invalid_request', 'Name a sandbox, or --tenant, or --template.');
  }
  if (id !== undefined) return id;
  return {
    ...(template === undefined ? {} : { template }),
    ...(typeof tenant === 'string' ? { tenantId: tenant } : {}),
  };
}

function policyFrom(file: string | undefined): EgressPolicy {
  try {
    return JSON.parse(readFileSync(file ?? 0, 'utf8')) as EgressPolicy;
  } catch (cause) {
    throw new CasemateError('invalid_request', `The policy is no JSON: ${String(cause)}`, {
      hint: 'docs/reference/egress-policy.md describes it.',
    });
  }
}
