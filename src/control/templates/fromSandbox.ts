/** The files of a running sandbox as a layer: two agents compare their trees, and what differs goes from one to the other. */
import type { GuestClient } from '../../guest/client.ts';
import type { ExecStream } from '../../guest/types.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';

export interface TreeCopy {
  /** The sandbox whose files are wanted; it goes on meanwhile. */
  readonly from: GuestClient;
  /** The sandbox that makes the layer. */
  readonly to: GuestClient;
  readonly signal: AbortSignal;
  /** What one of the two agents complains of. */
  readonly onComplaint: (text: string) => void;
}

/**
 * Both programs are the agent's own, in sandboxes of the same tenant; this only carries bytes, and reads none.
 * @throws CasemateError `build_failed`, or what cut it off
 */
export async function copyTree({ from, to, signal, onComplaint }: TreeCopy): Promise<void> {
  const [list, mirror] = await Promise.all([start(from, 'list', signal), start(to, 'mirror', signal)]);
  const carry = async (source: Running, target: Running): Promise<void> => {
    await target.guest.execStdin(target.execId, outputOf(source.stream, onComplaint), { end: true, signal });
  };
  try {
    await Promise.all([carry(list, mirror), carry(mirror, list)]);
    for (const { stream } of [list, mirror]) {
      if ((await stream.exited)?.exitCode !== 0)
        throw new CasemateError('build_failed', 'The files of the sandbox could not be taken.');
    }
  } finally {
    for (const { guest, execId } of [list, mirror])
      await guest.execSignal(execId, killSignal).catch(() => {}); // it has ended
  }
}

const killSignal = 9;
const agentFile = '/.casemate/guest-agent';

interface Running {
  readonly guest: GuestClient;
  readonly execId: string;
  readonly stream: ExecStream;
}

async function start(guest: GuestClient, op: 'list' | 'mirror', signal: AbortSignal): Promise<Running> {
  const execId = newId();
  // The agent is the first program of every sandbox; where its file is not shown, as in machines, it is run by that.
  const shown = await guest.fileStat(agentFile, { user: 'root' }).catch(() => undefined);
  const argv = [shown === undefined ? '/proc/1/exe' : agentFile, 'layer', JSON.stringify({ op })];
  const timeoutMs = limits.buildStepMsMax;
  const stream = await guest.execStart(
    { execId, argv, env: {}, user: '0', cwd: '/', stdin: true, timeoutMs },
    { signal },
  );
  return { guest, execId, stream };
}

async function* outputOf(
  { output }: ExecStream,
  onComplaint: (text: string) => void,
): AsyncGenerator<Uint8Array> {
  for await (const { channel, data } of output) {
    if (channel === 'stdout') yield data;
    else onComplaint(data.toString('utf8').trimEnd());
  }
}
