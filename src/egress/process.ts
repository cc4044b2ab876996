/** The egress process: starts as root to enter the gate and to load its program, drops all rights, then serves. */
import { chownSync, mkdirSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLog } from '../base/log.ts';
import { type EgressConfig, egressSocketPath } from './argv.ts';
import { createControlServer } from './controlServer.ts';
import { serveDns } from './dnsServer.ts';
import { GateListeners } from './gateListeners.ts';
import { EgressProxy } from './proxy.ts';

/** Always listened on, so that a denial there can be read. */
const usualPorts = [80, 443];

async function run(config: EgressConfig): Promise<void> {
  const { gate, stateDir, user } = config;
  mkdirSync(dirname(stateDir), { recursive: true, mode: 0o711 });
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  chownSync(stateDir, user.uid, user.gid);
  const proxy: EgressProxy = new EgressProxy({
    stateDir,
    listenOn: (ports) => listeners.listenOn(ports),
    openUdp: (address, port) => listeners.openUdp(address, port),
  });
  const listeners = new GateListeners({
    gate,
    user,
    onServer: (server) => proxy.serve(server),
    onDns: (socket) => serveDns(socket, (address) => proxy.sandboxAt(address)),
    onEnd: () => process.exit(1),
  });
  process.umask(0o077);
  process.setgroups?.([]);
  process.setgid?.(user.gid);
  process.setuid?.(user.uid); // before the first byte of a sandbox is read
  await Promise.all([listeners.openDns(), listeners.listenOn(usualPorts)]);
  const control = createControlServer(proxy);
  rmSync(egressSocketPath(stateDir), { force: true });
  await new Promise<void>((resolve) => control.listen(egressSocketPath(stateDir), resolve));
  const parent = new Socket({ fd: 3, readable: true, writable: true });
  parent
    .on('error', () => process.exit(0))
    .on('end', () => process.exit(0))
    .resume();
  process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
  process.once('SIGTERM', () => process.exit(0));
  process.on('SIGINT', () => {}); // a terminal's Ctrl-C reaches the whole group; the root half says when to end
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  run(JSON.parse(process.argv[2] ?? '{}') as EgressConfig).catch((error: unknown) => {
    createLog({ role: 'egress' }).error('egress_failed', { reason: String(error) });
    process.exit(1);
  });
}
