/** Real clients inside a real gVisor sandbox against servers of the world: passed through, and terminated. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EgressPolicy, Sandbox } from '../../../sdk/typescript/src/index.ts';
import { missingForServer, needTemplates } from '../server.ts';
import { bring, type KitPart, kitEnvironment, kitFolder, postgresPrograms } from './clientKit.ts';
import type { EgressClient } from './clients.ts';
import { fillSites } from './clientSites.ts';
import { startPostgres } from './postgres.ts';
import { WorldServer } from './worldServer.ts';

const worldAuthority = `${kitFolder}/world.pem`;
/** What somebody sets who wants programs to trust an authority of his own; where TLS is terminated Casemate does so. */
const trustsWorld = {
  SSL_CERT_FILE: worldAuthority,
  REQUESTS_CA_BUNDLE: worldAuthority,
  NODE_EXTRA_CA_CERTS: worldAuthority,
  GIT_SSL_CAINFO: worldAuthority,
  GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: worldAuthority,
};

export function clientSuite(which: string, clients: readonly EgressClient[]): void {
  describe(`egress of ${which}`, { skip: missingForServer() ?? false }, () => {
    const outside = new WorldServer();
    const missing = new Map<KitPart, string>();
    let sbx: Sandbox;
    let endPostgres: (() => Promise<void>) | undefined;
    before(async () => {
      await outside.start();
      await fillSites(join(outside.directory, 'sites'));
      const { server } = outside;
      await needTemplates(server, ['python']);
      sbx = await Sandbox.create({
        ...{ url: server.url, apiKey: server.apiKey, template: 'python', timeoutMs: 600_000 },
        limits: { memoryMib: 1024, diskMib: 1024 },
      });
      for (const part of new Set(clients.flatMap(({ needs }) => needs ?? []))) {
        const reason = part === 'psql' && postgresPrograms === undefined ? 'no PostgreSQL here' : undefined;
        const failed = reason ?? (await bring(sbx, part));
        if (failed !== undefined) missing.set(part, failed);
      }
      if (clients.some(({ needs }) => needs === 'psql') && postgresPrograms !== undefined)
        endPostgres = await startPostgres(outside, postgresPrograms);
      await sbx.files.write(worldAuthority, readFileSync(outside.worldCertificate), {
        user: 'root',
        parents: true,
      });
    });
    after(async () => {
      await endPostgres?.();
      await outside.close();
    });

    const allowing = (inspect: boolean): EgressPolicy => ({
      allow: clients.map(({ host, port, protocol = 'tcp' as const }) =>
        port === undefined ? { host, inspect } : { host, ports: [port], protocol },
      ),
    });
    for (const inspect of [false, true]) {
      describe(inspect ? 'terminated with the sandbox’s own authority' : 'passed through', () => {
        before(() => sbx.setPolicy(allowing(inspect)));
        for (const client of clients.filter(({ port }) => !inspect || port === undefined)) {
          it(client.name, async (test) => {
            const reason = client.needs && missing.get(client.needs);
            if (reason !== undefined) return test.skip(reason);
            const env = { ...kitEnvironment, ...(inspect ? {} : trustsWorld) };
            const ran = await sbx.exec(client.argv, { env, timeoutMs: 120_000 });
            assert.equal(ran.stdout, client.says, ran.stderr);
            if (client.protocol !== 'udp') await flow(client, inspect); // one of UDP is over after a minute
          });
        }
      });
    }

    /** The audit log tells of it, and whether its requests were read. */
    async function flow({ host }: EgressClient, inspected: boolean): Promise<void> {
      const { audit } = outside.server.client;
      for (let round = 0; round < 50; round += 1) {
        const flows = await audit.list({ sandboxId: sbx.id, action: 'network.flow', limit: 200 });
        const found = flows.find(({ detail }) => detail.host === host && detail.inspected === inspected);
        if (found !== undefined) return assert.ok(Number(found.detail.bytesReceived) > 0);
        await sleep(100);
      }
      assert.fail(`no flow to ${host} with inspected: ${inspected}`);
    }
  });
}
