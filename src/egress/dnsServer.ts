/** Answers the sandboxes' DNS queries: allowed names with their pin, all others with NXDOMAIN and an event. */
import type { Socket } from 'node:dgram';
import { canonicalHost, printable } from '../policy/host.ts';
import { judgeName, type Verdict } from '../policy/match.ts';
import { type Query, readQuery, recordTypes, writeAnswer, writeRefusal } from './dnsMessage.ts';
import { egressLimits } from './limits.ts';
import type { SandboxEgress } from './sandbox.ts';
import { TokenBucket } from './tokenBucket.ts';

/** Links without a policy (yet): they share one rate, and hear "no such name" instead of silence. */
const strangers = new TokenBucket(egressLimits.queriesPerSecond, egressLimits.queriesBurst);

function closed(bytes: Buffer): Buffer | undefined {
  const query = readQuery(bytes);
  if (query === undefined) return undefined;
  return 'refuse' in query ? writeRefusal(query.id, query.refuse) : writeAnswer(query, 'nameError');
}

/** Above the rate: a refusal costs no more than silence, and a program does not hang. */
function tooMany(bytes: Buffer): Buffer | undefined {
  const query = readQuery(bytes);
  return query === undefined ? undefined : writeRefusal(query.id, 'refused');
}

/** Serves on a socket that was opened in the gate. */
export function serveDns(socket: Socket, sandboxAt: (address: string) => SandboxEgress | undefined): void {
  socket.on('error', () => {}); // one answer that could not be sent; the sandbox asks again
  socket.on('message', (bytes, from) => {
    const sandbox = sandboxAt(from.address);
    const inRate = sandbox === undefined ? strangers.take() : sandbox.queries.take();
    const answer = !inRate
      ? tooMany(bytes)
      : sandbox === undefined
        ? closed(bytes)
        : answerTo(sandbox, bytes);
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
}

/** The answer's bytes, or undefined for what gets none. */
export function answerTo(sandbox: SandboxEgress, bytes: Buffer): Buffer | undefined {
  const query = readQuery(bytes);
  if (query === undefined) return undefined;
  if ('refuse' in query) return writeRefusal(query.id, query.refuse);
  const name = canonicalHost(query.name);
  const verdict = name === undefined ? malformed(query.name) : judge(sandbox, name);
  if (name === undefined || !verdict.allowed) {
    tell(sandbox, query, name, verdict);
    if (name === undefined || !mayLearn(sandbox, name, verdict)) return writeAnswer(query, 'nameError');
  }
  // AAAA, HTTPS and SVCB are empty: no second way, and no key for an encrypted ClientHello.
  if (query.type !== recordTypes.a) return writeAnswer(query, 'ok');
  const address = Buffer.from(sandbox.pins.addressOf(name).split('.').map(Number));
  return writeAnswer(query, 'ok', { bytes: address, ttlSeconds: egressLimits.answerTtlSeconds });
}

function judge(sandbox: SandboxEgress, name: string): Verdict {
  const verdict = judgeName(sandbox.policy, name);
  if (!verdict.allowed || sandbox.pins.has(name)) return verdict;
  const refuse = (hint: string): Verdict => ({
    allowed: false,
    code: 'rate_limited',
    rule: 'DNS limits',
    hint,
  });
  if (name.length > egressLimits.wildcardCharactersMax && !sandbox.namesExactly(name)) {
    return refuse(`Names below a wildcard have ${egressLimits.wildcardCharactersMax} characters at most.`);
  }
  return sandbox.newNames.take()
    ? verdict
    : refuse('Too many new names; wait, or ask for names that are known.');
}

/** Its address leads to the proxy, which denies what comes: only then is it known what the name was asked for. */
function mayLearn(sandbox: SandboxEgress, name: string, verdict: Verdict): boolean {
  if (!sandbox.learns || verdict.allowed || verdict.code !== 'name_not_allowed') return false;
  return sandbox.pins.has(name) || sandbox.newNames.take();
}

function malformed(name: string): Verdict {
  const hint = `"${printable(name).slice(0, 64)}" is no host name.`;
  return { allowed: false, code: 'name_malformed', rule: 'default deny', hint };
}

function tell(sandbox: SandboxEgress, query: Query, name: string | undefined, verdict: Verdict): void {
  if (verdict.allowed) return;
  const { code, rule, hint } = verdict;
  sandbox.deny({ code, rule, hint, host: name ?? query.name, protocol: 'dns' });
}
