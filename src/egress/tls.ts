/** TLS: the name asked for has to be the name connected to; then bytes pass untouched, or the proxy terminates. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { judgeConnection, type Target, type Verdict } from '../policy/match.ts';
import { type ClientHello, helloBytesMax, isHelloRetry, readClientHello, tlsAlerts } from './clientHello.ts';
import { gather } from './gather.ts';
import { serveHttp, serveHttp2 } from './httpServer.ts';
import { upstreamFor } from './httpUpstream.ts';
import { Inflow } from './inflow.ts';
import { egressLimits } from './limits.ts';
import { OpenFlow } from './openFlow.ts';
import type { SandboxEgress } from './sandbox.ts';
import { connectUpstream, UpstreamRefusal } from './upstream.ts';

export interface Accepted {
  readonly sandbox: SandboxEgress;
  readonly client: Socket;
  readonly target: Target;
  /** The address that the sandbox connected to. */
  readonly literal: string;
}

/** A connection that the policy lets in, with the one to its host where bytes will pass untouched. */
interface Begun {
  readonly flow: OpenFlow;
  readonly upstream: Opening | undefined;
}

interface Opening {
  readonly socket: Promise<Socket>;
  readonly inflow: Inflow;
}

export async function handleTls(accepted: Accepted): Promise<void> {
  const { client, target } = accepted;
  const atOnce = begin(accepted); // the host is connected to while the hello comes; it gets nothing before
  const { result, bytes } = await gather(client, {
    test: (start) => {
      const read = readClientHello(start);
      return read.state === 'more' ? undefined : read;
    },
    bytesMax: helloBytesMax * 2,
    msMax: egressLimits.helloMsMax,
  });
  if (result === undefined) return void client.resetAndDestroy();
  if (result.state !== 'hello') return refuse(accepted, tlsRefusal(result.reason));
  const begun = 'flow' in atOnce ? atOnce : begin(accepted); // the policy may have changed
  if (!('flow' in begun)) return refuse(accepted, begun);
  const { flow, upstream } = begun;
  const { hello } = result;
  if (hello.serverName !== target.host) {
    const hint = `The connection leads to ${target.host}, but TLS asks for ${hello.serverName}. Use the name in both.`;
    return refuse(accepted, { allowed: false, code: 'host_mismatch', rule: flow.rule, hint });
  }
  if (upstream === undefined) return terminate(accepted, flow, bytes, hello);
  client.unshift(bytes.subarray(hello.bytes));
  await passThrough(accepted, { flow, upstream }, bytes.subarray(0, hello.bytes));
}

/** Judges by where the connection leads: its name is the one that the hello will have to ask for. */
function begin(accepted: Accepted): Begun | (Verdict & { allowed: false }) {
  const { sandbox, client, target, literal } = accepted;
  const verdict = judgeConnection(sandbox.policy, target, 'tls');
  if (!verdict.allowed) return verdict;
  const admitted = sandbox.admit(target);
  if (!admitted.allowed) return admitted;
  const inspected = sandbox.mustInspect(target);
  const flow = new OpenFlow({
    sandbox,
    client,
    target,
    literal,
    protocol: 'tls',
    inspected,
    rule: verdict.rule,
  });
  return { flow, upstream: inspected ? undefined : openFor(flow, client) };
}

function openFor({ sandbox, target, literal }: OpenFlow, client: Socket): Opening {
  const inflow = new Inflow();
  const socket = connectUpstream(sandbox, target, literal, { client, inflow });
  socket.then(
    (upstream) => upstream.on('error', () => upstream.destroy()),
    () => {}, // told once the hello has come
  );
  return { socket, inflow };
}

function tlsRefusal(reason: string): Verdict & { allowed: false } {
  const hint = `TLS was refused: ${reason}.`;
  return { allowed: false, code: 'tls_refused', rule: 'TLS rules', hint };
}

function refuse(accepted: Accepted, verdict: Verdict & { allowed: false }): void {
  const { code, rule, hint } = verdict;
  const { sandbox, client, target, literal } = accepted;
  sandbox.deny({ code, rule, hint, host: target.host ?? literal, port: target.port, protocol: 'tls' });
  const byName = code === 'name_not_allowed' || code === 'host_mismatch' || code === 'upstream_unreachable';
  client.end(byName ? tlsAlerts.unrecognizedName : tlsAlerts.accessDenied);
  client.resume(); // what was sent is read, so that the alert is not lost to a reset
  setTimeout(() => client.destroy(), egressLimits.refusalLingerMs).unref();
}

async function passThrough(
  accepted: Accepted,
  { flow, upstream: { socket, inflow } }: { flow: OpenFlow; upstream: Opening },
  hello: Buffer,
): Promise<void> {
  const { client, target } = accepted;
  let upstream: Socket;
  try {
    upstream = await socket;
  } catch (error) {
    if (!(error instanceof UpstreamRefusal)) throw error;
    if (flow.over) return;
    return refuse(accepted, { allowed: false, code: error.code, rule: error.rule, hint: error.message });
  }
  if (flow.over) return void upstream.destroy();
  upstream.write(hello);
  const options = { test: isHelloRetry, bytesMax: helloBytesMax, msMax: egressLimits.helloMsMax };
  const first = await gather(upstream, options, (take) => {
    inflow.take = take;
    upstream.resume();
    return () => {
      inflow.take = () => false; // it stands still
    };
  });
  if (flow.over) return void upstream.destroy();
  if (first.result !== true) return flow.relay(upstream, inflow, first.bytes);
  client.write(first.bytes);
  const second = await secondHello(client);
  if (second === undefined || second.serverName !== target.host) {
    upstream.destroy();
    return refuse(accepted, tlsRefusal('the second ClientHello names another server'));
  }
  upstream.write(second.bytes);
  client.unshift(second.rest);
  flow.relay(upstream, inflow, Buffer.alloc(0));
}

/** After a HelloRetryRequest the client says hello again; a server believes the name that stands in either. */
async function secondHello(
  client: Socket,
): Promise<{ serverName: string; bytes: Buffer; rest: Buffer } | undefined> {
  const { result, bytes } = await gather(client, {
    test: (start) => {
      const read = readClientHello(start, { second: true });
      return read.state === 'more' ? undefined : read;
    },
    bytesMax: helloBytesMax * 2,
    msMax: egressLimits.helloMsMax,
  });
  if (result?.state !== 'hello') return undefined;
  const { serverName, bytes: length } = result.hello;
  return { serverName, bytes: bytes.subarray(0, length), rest: bytes.subarray(length) };
}

async function terminate(
  accepted: Accepted,
  flow: OpenFlow,
  start: Buffer,
  hello: ClientHello,
): Promise<void> {
  const { sandbox, client, target } = accepted;
  const http2 = hello.alpn.includes('h2');
  upstreamFor(flow).prepare(http2);
  const authority = await sandbox.authority();
  const secureContext = await authority.contextFor(target.host ?? '');
  if (flow.over) return;
  client.unshift(start);
  const inside = new TLSSocket(client, { isServer: true, secureContext, ALPNProtocols: ['h2', 'http/1.1'] });
  inside.on('error', () => flow.cut('TLS failed'));
  const timer = setTimeout(() => flow.cut('TLS took too long'), egressLimits.helloMsMax);
  inside.once('close', () => clearTimeout(timer));
  flow.wrapped(inside);
  inside.once('secure', () => {
    clearTimeout(timer);
    if (inside.alpnProtocol === 'h2') serveHttp2(flow.paced(), flow);
    else serveHttp(flow.paced(), flow);
  });
}
