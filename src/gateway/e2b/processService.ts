/** E2B's process service: programs by pid, their output as events, their input and signals. */
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import { Readable } from 'node:stream';
import {
  CloseStdinResponseSchema,
  ConnectResponseSchema,
  ListResponseSchema,
  type Process,
  type ProcessEvent,
  type ProcessInput,
  type ProcessSelector,
  type PTY,
  SendInputResponseSchema,
  SendSignalResponseSchema,
  type StartRequest,
  StartResponseSchema,
  StreamInputResponseSchema,
  UpdateResponseSchema,
} from '../../../schema/e2b/process_pb.js';
import type { ExecStartParams, GuestExec, TerminalSize } from '../../guest/types.ts';
import { type AgentCall, asUser, callOf, guestWork } from './call.ts';
import { connectErrorOf } from './errors.ts';
import type { Feeds, Reader } from './feed.ts';
import { dataEvent, endEvent, keepaliveEvent, processView, startEvent } from './views.ts';

/** The guest takes no longer deadline than that. */
const deadlineMsMax = 7 * 24 * 3_600_000;
const keepaliveSecondsDefault = 90;

export function processService(feeds: Feeds): ServiceImpl<typeof Process> {
  return {
    async list(_request, context) {
      const execs = await guarded(() => execsOf(callOf(context)));
      return create(ListResponseSchema, { processes: execs.filter(isRunning).map(processView) });
    },
    async *start(request, context) {
      const { reader, pid } = await guarded(() => start(feeds, request, context));
      const events = eventsOf(pid, reader, request.pty !== undefined, context);
      for await (const event of events) yield create(StartResponseSchema, { event });
    },
    async *connect(request, context) {
      const { reader, pid, pty } = await guarded(() => connect(feeds, request.process, context));
      for await (const event of eventsOf(pid, reader, pty, context))
        yield create(ConnectResponseSchema, { event });
    },
    async update(request, context) {
      const size = sizeOf(request.pty);
      if (size === undefined) throw new ConnectError('there is no terminal size', Code.InvalidArgument);
      await onExec(context, request.process, (call, { execId }) =>
        guestWork(call, undefined, (guest) => guest.execResize(execId, size)),
      );
      return create(UpdateResponseSchema);
    },
    async sendInput(request, context) {
      await onExec(context, request.process, (call, { execId }) =>
        writeInput(call, execId, bytesOf(request.input), false),
      );
      return create(SendInputResponseSchema);
    },
    async streamInput(requests, context) {
      let execId: string | undefined;
      for await (const { event } of requests) {
        if (event.case === 'start')
          execId = await onExec(context, event.value.process, async (_, exec) => exec.execId);
        if (event.case !== 'data') continue;
        if (execId === undefined) throw new ConnectError('the stream names no process', Code.InvalidArgument);
        const [id, bytes] = [execId, bytesOf(event.value.input)];
        await guarded(() => writeInput(callOf(context), id, bytes, false));
      }
      return create(StreamInputResponseSchema);
    },
    async sendSignal(request, context) {
      const signal: number = request.signal;
      if (signal === 0) throw new ConnectError('the signal is not one that is sent', Code.InvalidArgument);
      await onExec(context, request.process, (call, { execId }) =>
        guestWork(call, { action: 'exec.signal', detail: { execId, signal } }, (guest) =>
          guest.execSignal(execId, signal),
        ),
      );
      return create(SendSignalResponseSchema);
    },
    async closeStdin(request, context) {
      await onExec(context, request.process, (call, { execId }) =>
        writeInput(call, execId, new Uint8Array(0), true),
      );
      return create(CloseStdinResponseSchema);
    },
  };
}

async function guarded<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw connectErrorOf(error);
  }
}

function isRunning({ exited }: GuestExec): boolean {
  return exited === undefined;
}

async function start(
  feeds: Feeds,
  request: StartRequest,
  context: HandlerContext,
): Promise<{ pid: number; reader: Reader }> {
  const call = callOf(context);
  if (request.tag !== undefined) throw new ConnectError('processes have no tags here', Code.Unimplemented);
  const { execId, stream } = await call.core.startExec(
    call.principal,
    call.sandboxId,
    startParams(call, request, context.timeoutMs()),
  );
  return feeds.open(call.sandboxId, execId, stream);
}

function startParams(
  call: AgentCall,
  { process, pty, stdin }: StartRequest,
  deadlineMs: number | undefined,
): Omit<ExecStartParams, 'execId'> {
  if (process === undefined || process.cmd === '')
    throw new ConnectError('the request names no program', Code.InvalidArgument);
  const size = sizeOf(pty);
  if (pty !== undefined && size === undefined) {
    throw new ConnectError('the terminal has no size', Code.InvalidArgument);
  }
  const { template } = call.core.sandboxes.get(call.principal, call.sandboxId);
  return {
    ...asUser(call),
    argv: [process.cmd, ...process.args],
    env: {
      E2B_SANDBOX: 'true',
      E2B_SANDBOX_ID: call.sandboxId,
      E2B_TEMPLATE_ID: template,
      ...process.envs,
    },
    stdin: stdin ?? true,
    ...(process.cwd === undefined || process.cwd === '' ? {} : { cwd: process.cwd }),
    ...(size === undefined ? {} : { pty: size }),
    ...(deadlineMs === undefined
      ? {}
      : { timeoutMs: Math.min(deadlineMsMax, Math.max(1, Math.ceil(deadlineMs))) }),
  };
}

function sizeOf(pty: PTY | undefined): TerminalSize | undefined {
  const { rows, cols } = pty?.size ?? { rows: 0, cols: 0 };
  const fits = (cells: number): boolean => cells >= 1 && cells <= 0xffff;
  return fits(rows) && fits(cols) ? { rows, cols } : undefined;
}

async function execsOf(call: AgentCall): Promise<readonly GuestExec[]> {
  return call.core.listExecs(call.principal, call.sandboxId);
}

/** The newest program of a pid; one that ended only where `ended` says that it will do. */
async function execBy(
  call: AgentCall,
  selector: ProcessSelector | undefined,
  ended: 'too' | 'not',
): Promise<GuestExec> {
  if (selector?.selector.case !== 'pid') {
    throw new ConnectError('a process is selected by its pid here', Code.InvalidArgument);
  }
  const pid = selector.selector.value;
  const found = (await execsOf(call)).filter((exec) => exec.pid === pid).reverse();
  const exec = found.find(isRunning) ?? (ended === 'too' ? found[0] : undefined);
  if (exec === undefined) throw new ConnectError(`process with pid ${pid} not found`, Code.NotFound);
  return exec;
}

function onExec<Result>(
  context: HandlerContext,
  selector: ProcessSelector | undefined,
  work: (call: AgentCall, exec: GuestExec) => Promise<Result>,
): Promise<Result> {
  return guarded(async () => {
    const call = callOf(context);
    return work(call, await execBy(call, selector, 'not'));
  });
}

async function connect(
  feeds: Feeds,
  selector: ProcessSelector | undefined,
  context: HandlerContext,
): Promise<{ pid: number; reader: Reader; pty: boolean }> {
  const call = callOf(context);
  const { execId, pty } = await execBy(call, selector, 'too');
  const joined = feeds.join(call.sandboxId, execId);
  if (joined !== undefined) return { ...joined, pty };
  const stream = await call.core.attachExec(call.principal, call.sandboxId, execId, { follow: true });
  return { ...feeds.open(call.sandboxId, execId, stream), pty };
}

function bytesOf(input: ProcessInput | undefined): Uint8Array {
  if (input?.input.value === undefined) throw new ConnectError('there is no input', Code.InvalidArgument);
  return input.input.value;
}

async function writeInput(call: AgentCall, execId: string, bytes: Uint8Array, end: boolean): Promise<void> {
  await guestWork(call, { action: 'exec.stdin', detail: { execId } }, (guest) =>
    guest.execStdin(execId, Readable.from(bytes.length === 0 ? [] : [bytes]), { end }),
  );
}

/** Start, data as it comes, end; a client that goes away leaves the program running. */
async function* eventsOf(
  pid: number,
  reader: Reader,
  pty: boolean,
  { signal, requestHeader }: HandlerContext,
): AsyncGenerator<ProcessEvent> {
  const idleMs = keepaliveMs(requestHeader);
  const leave = (): void => reader.close();
  signal.addEventListener('abort', leave, { once: true });
  try {
    yield startEvent(pid);
    for (let event = await reader.take(idleMs); event !== undefined; event = await reader.take(idleMs)) {
      if (event.kind === 'idle') yield keepaliveEvent();
      else if (event.kind === 'data') yield dataEvent(event.chunk, pty);
      else return yield endEvent(event.exited);
    }
    signal.throwIfAborted();
  } catch (error) {
    throw connectErrorOf(error);
  } finally {
    signal.removeEventListener('abort', leave);
    reader.close();
  }
}

/** How often a client wants to hear of a silent stream. */
export function keepaliveMs(header: Headers): number {
  const seconds = Number(header.get('keepalive-ping-interval') ?? keepaliveSecondsDefault);
  return (seconds >= 1 && seconds <= 3600 ? seconds : keepaliveSecondsDefault) * 1000;
}
