/** The state machine: what its table forbids is refused, and every state can end. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { SandboxRow, SandboxState } from '../store/types.ts';
import { advance, transitions } from './state.ts';

const states = Object.keys(transitions) as SandboxState[];

function row(state: SandboxState): SandboxRow {
  return {
    id: 'a'.repeat(20),
    tenantId: 't',
    template: 'base',
    runtime: 'gvisor',
    isolation: 'application-kernel',
    state,
    createdAt: '2026-01-01T00:00:00.000Z',
    endsAt: '2026-01-01T00:05:00.000Z',
    timeoutMs: 300_000,
    onTimeout: 'kill',
    autoResume: false,
    metadata: {},
    labels: {},
    limits: { cpus: 1, memoryMib: 512, diskMib: 512, pids: 256 },
    user: 'user',
    hostname: 'sandbox',
  };
}

it('allows what the table names and refuses the rest', () => {
  for (const from of states) {
    for (const to of states) {
      const attempt = (): SandboxRow => advance(row(from), to, '2026-01-01T00:00:01.000Z');
      if (transitions[from].includes(to)) assert.equal(attempt().state, to);
      else assert.throws(attempt, { code: 'conflict' });
    }
  }
});

it('lets every state end', () => {
  for (const state of states.filter((candidate) => candidate !== 'ended' && candidate !== 'ending')) {
    assert.ok(transitions[state].includes('ending'), state);
  }
  assert.deepEqual(transitions.ended, []);
});
