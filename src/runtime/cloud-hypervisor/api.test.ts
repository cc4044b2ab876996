/** Unit tests of our Cloud Hypervisor client and its jail's arguments; no Cloud Hypervisor runs (driver.test.ts is for that). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withListener } from '../../../test/drivers/listener.ts';
import { define, load, pause, resume, save, start } from './api.ts';
import { findCloudHypervisor } from './binary.ts';
import { jailArguments } from './launch.ts';

describe('Cloud Hypervisor’s API as we call it', () => {
  it('defines a machine in one call and boots it in another', () =>
    withListener(async (api, asked) => {
      await define(api, { guestMemoryMib: 224, processors: 2 }, true);
      await start(api);
      assert.deepEqual(
        asked.map(({ call }) => call),
        ['PUT /api/v1/vm.create', 'PUT /api/v1/vm.boot'],
      );
      const { cpus, memory, disks, net, payload, serial } = Object(asked[0]?.body);
      assert.deepEqual(cpus, { boot_vcpus: 2, max_vcpus: 2 });
      assert.deepEqual(memory, { size: 224 * 1024 * 1024 });
      assert.deepEqual(disks, [{ path: '/root.img', readonly: true }, { path: '/disk.img' }]);
      assert.deepEqual(net, [{ tap: 'tap0', mac: '02:00:00:00:00:02' }]);
      assert.match(payload.cmdline, / -- --init$/);
      assert.deepEqual(serial, { mode: 'Off' });
    }));

  it('writes down into `next` and loads from `saved`', () =>
    withListener(async (api, asked) => {
      await pause(api);
      await save(api);
      await resume(api);
      await load(api);
      assert.deepEqual(asked, [
        { call: 'PUT /api/v1/vm.pause', body: undefined },
        { call: 'PUT /api/v1/vm.snapshot', body: { destination_url: 'file:///next' } },
        { call: 'PUT /api/v1/vm.resume', body: undefined },
        { call: 'PUT /api/v1/vm.restore', body: { source_url: 'file:///saved' } },
      ]);
    }));
});

it('starts it with its filters on, as a user of its own, in a root of its own', () => {
  const argv = jailArguments(
    { path: '/opt/cloud-hypervisor', version: '53.0' },
    {
      id: 'abc',
      directory: '/sandboxes/abc',
      uid: 70_000,
      cgroupJoinFiles: [],
      fileMibMax: 2,
      network: true,
    },
  );
  assert.deepEqual(argv.slice(3), [
    ...['casemate-jail', '/sandboxes/abc/jail', '70000', '4096', '/opt/cloud-hypervisor'],
    ...['--api-socket', 'path=/api', '--seccomp', 'true'],
  ]);
});

it('says what is missing', async () => {
  const unavailable = { code: 'runtime_unavailable', message: /CASEMATE_CLOUD_HYPERVISOR names no program/ };
  await assert.rejects(findCloudHypervisor(undefined), unavailable);
});
