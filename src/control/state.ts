/** The one state machine of a sandbox: which states there are and which may follow which. */
import { CasemateError } from '../base/errors.ts';
import type { EndReason, SandboxRow, SandboxState } from '../store/types.ts';

/**
 * starting: the row is there, the sandbox is being claimed or made. running: it answers. pausing and resuming: it is being
 * written to disk, or read from there. paused: it costs disk only. ending: it is being destroyed. ended: nothing of it is
 * left but this record.
 */
export const transitions: Readonly<Record<SandboxState, readonly SandboxState[]>> = {
  starting: ['running', 'ending'],
  running: ['pausing', 'ending'],
  pausing: ['paused', 'running', 'ending'],
  paused: ['resuming', 'ending'],
  resuming: ['running', 'paused', 'ending'],
  ending: ['ended'],
  ended: [],
};

/** Those of sandboxes that are there, or will be again. */
export const liveStates = (Object.keys(transitions) as SandboxState[]).filter((state) => state !== 'ended');

/** The row in its next state. @throws CasemateError `conflict` where that state may not follow. */
export function advance(row: SandboxRow, state: SandboxState, at: string, endReason?: EndReason): SandboxRow {
  if (!transitions[row.state].includes(state)) {
    throw new CasemateError('conflict', `A sandbox that is ${row.state} cannot become ${state}.`);
  }
  return {
    ...row,
    state,
    ...(state === 'running' && row.startedAt === undefined ? { startedAt: at } : {}),
    ...(state === 'ended' ? { endedAt: at } : {}),
    ...(endReason === undefined ? {} : { endReason }),
  };
}

/** Why nothing can be asked of a sandbox in this state; undefined for one that runs. */
export function refusalOf(row: SandboxRow): CasemateError | undefined {
  switch (row.state) {
    case 'running':
      return undefined;
    case 'ended':
    case 'ending':
      return new CasemateError(
        'sandbox_ended',
        `Sandbox ${row.id} has ended (${row.endReason ?? 'ending'}).`,
      );
    default:
      return new CasemateError('conflict', `Sandbox ${row.id} is ${row.state}.`, {
        hint: 'Resume a paused sandbox first, or create it with autoResume.',
      });
  }
}
