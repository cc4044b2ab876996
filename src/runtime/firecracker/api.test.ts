/** Unit tests of our Firecracker client and of the jailer's arguments; no Firecracker runs (driver.test.ts is for that). */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { withListener } from '../../../test/drivers/listener.ts';
import { define, load, pause, resume, save, start } from './api.ts';
import { findFirecracker } from './binary.ts';
import { jailerArguments, jailRoot } from './launch.ts';

describe('Firecracker’s API as we call it', () => {
  it('defines a machine before it is started: size, kernel, vsock, disks in their order, network', () =>
    withListener(async (api, asked) => {
      await define(api, { guestMemoryMib: 224, processors: 2 }, true);
      await start(api);
      assert.deepEqual(
        asked.map(({ call }) => call),
        [
          'PUT /machine-config',
          'PUT /boot-source',
          'PUT /vsock',
          'PUT /drives/root',
          'PUT /drives/disk',
          'PUT /network-interfaces/eth0',
          'PUT /actions',
        ],
      );
      assert.deepEqual(asked[0]?.body, { vcpu_count: 2, mem_size_mib: 224 });
      assert.match(String(Object(asked[1]?.body).boot_args), / -- --init$/);
      assert.equal(Object(asked[3]?.body).is_read_only, true);
      assert.equal(Object(asked[4]?.body).is_read_only, false);
    }));

  it('gives a probe neither disks nor network', () =>
    withListener(async (api, asked) => {
      await define(api, { guestMemoryMib: 128, processors: 1 }, false);
      assert.ok(!asked.some(({ call }) => /drives|network/.test(call)));
      assert.match(String(Object(asked[1]?.body).boot_args), / -- --probe$/);
    }));

  it('writes a machine down only into `next`, loads from `saved`, and never runs what it loads', () =>
    withListener(async (api, asked) => {
      await pause(api);
      await save(api);
      await resume(api);
      await load(api);
      assert.deepEqual(asked, [
        { call: 'PATCH /vm', body: { state: 'Paused' } },
        {
          call: 'PUT /snapshot/create',
          body: { snapshot_type: 'Full', snapshot_path: '/next/state', mem_file_path: '/next/memory' },
        },
        { call: 'PATCH /vm', body: { state: 'Resumed' } },
        {
          call: 'PUT /snapshot/load',
          body: {
            snapshot_path: '/saved/state',
            mem_backend: { backend_type: 'File', backend_path: '/saved/memory' },
            resume_vm: false,
          },
        },
      ]);
    }));

  it('stops at the first refusal', () =>
    withListener(
      async (api, asked) => {
        await assert.rejects(define(api, { guestMemoryMib: 1, processors: 1 }, true), /too little/);
        assert.equal(asked.length, 1);
      },
      (response) => void response.writeHead(400).end('{"fault_message":"too little"}'),
    ));
});

it('puts every machine into a jail of its own: user, folder, bounds, process namespace', () => {
  const program = { path: '/opt/fc/firecracker', version: '1.12.1' };
  const argv = jailerArguments(program, {
    ...{ id: 'abc', directory: '/sandboxes/abc', uid: 70_000, cgroupJoinFiles: [] },
    ...{ fileMibMax: 2, network: true },
  });
  assert.equal(argv[0], '/opt/fc/jailer');
  const text = argv.join(' ');
  for (const part of [
    '--id abc --exec-file /opt/fc/firecracker --uid 70000 --gid 70000',
    '--chroot-base-dir /sandboxes/abc/jail',
    '--resource-limit fsize=2097152',
    '--new-pid-ns -- --api-sock /api',
  ])
    assert.ok(text.includes(part), text);
  assert.ok(!text.includes('--no-seccomp') && !text.includes('--enable-pci'));
  assert.equal(jailRoot('/sandboxes/abc', 'abc', program.path), '/sandboxes/abc/jail/firecracker/abc/root');
});

describe('finding Firecracker', () => {
  const unavailable = (words: RegExp) => ({ code: 'runtime_unavailable', message: words });

  it('says what is missing', async () => {
    await assert.rejects(findFirecracker(undefined), unavailable(/CASEMATE_FIRECRACKER names no program/));
    await assert.rejects(findFirecracker('/nonexistent/firecracker'), unavailable(/no program/));
  });

  it('wants a jailer of the same version, and no old one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'casemate-fc-'));
    const program = join(folder, 'firecracker');
    const write = async (name: string, says: string): Promise<void> => {
      await writeFile(join(folder, name), `#!/bin/sh\necho "${says}"\n`);
      await chmod(join(folder, name), 0o755);
    };
    try {
      await write('firecracker', 'Firecracker v1.12.1');
      await assert.rejects(findFirecracker(program), unavailable(/jailer is no program/));
      await write('jailer', 'Jailer v1.11.0');
      await assert.rejects(findFirecracker(program), unavailable(/not of one version/));
      await write('jailer', 'Jailer v1.12.1');
      assert.deepEqual(await findFirecracker(program), { path: program, version: '1.12.1' });
      await write('firecracker', 'Firecracker v1.9.0');
      await write('jailer', 'Jailer v1.9.0');
      await assert.rejects(findFirecracker(program), unavailable(/older than 1\.12/));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
