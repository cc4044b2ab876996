/** Schemas of programs that run in a sandbox, and of the stream that their output comes in. */
import { type Static, Type } from '@sinclair/typebox';
import { limits } from '../src/base/limits.ts';
import {
  EnvSchema,
  ErrorBodySchema,
  ExecIdSchema,
  PathSchema,
  strictObject,
  TerminalSizeSchema,
  TimeSchema,
  UserSchema,
} from './common.ts';

const text = { maxLength: 512 * 1024, pattern: '^[^\\u0000]*$' };

export const execStreamMediaType = 'application/vnd.casemate.exec-stream';

/** First byte of each frame of an exec stream; after it the payload's length (u32, big-endian) and the payload. */
export const execFrameKinds = { event: 0, stdout: 1, stderr: 2 } as const;

export const StartExecSchema = strictObject(
  {
    argv: Type.Optional(
      Type.Array(Type.String(text), { minItems: 1, maxItems: 4096, description: 'Program and arguments.' }),
    ),
    command: Type.Optional(Type.String({ ...text, minLength: 1, description: 'Run by `bash -l -c`.' })),
    cwd: Type.Optional(PathSchema),
    env: Type.Optional(EnvSchema),
    user: Type.Optional(UserSchema),
    stdin: Type.Optional(
      Type.Boolean({ description: 'Keeps standard input open for the stdin route; empty otherwise.' }),
    ),
    pty: Type.Optional(TerminalSizeSchema),
    timeoutMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.sandboxTimeoutMsMax,
        description: 'Milliseconds after which the whole process group is ended.',
      }),
    ),
    detach: Type.Optional(
      Type.Boolean({ description: 'Answers at once; output waits in a ring for a reader.' }),
    ),
  },
  {
    $id: 'StartExec',
    description: 'Exactly one of `argv` and `command`.',
    oneOf: [{ required: ['argv'] }, { required: ['command'] }],
  },
);

const truncation = {
  truncatedStdoutBytes: Type.Integer({ minimum: 0, description: 'Bytes of stdout that are missing.' }),
  truncatedStderrBytes: Type.Integer({ minimum: 0, description: 'Bytes of stderr that are missing.' }),
};

const exit = {
  exitCode: Type.Integer({ minimum: 0, maximum: 255, description: '128 + number where a signal ended it.' }),
  signal: Type.Optional(Type.String({ description: 'For example SIGKILL.' })),
  reason: Type.Union([Type.Literal('exited'), Type.Literal('signaled'), Type.Literal('deadline')]),
  ...truncation,
};

export const ExecResultSchema = strictObject(
  {
    execId: ExecIdSchema,
    ...exit,
    stdout: Type.String({ description: `UTF-8; at most ${limits.execAnswerBytesMax} bytes of it.` }),
    stderr: Type.String({ description: `UTF-8; at most ${limits.execAnswerBytesMax} bytes of it.` }),
  },
  { $id: 'ExecResult' },
);

const pid = Type.Integer({ minimum: 0, description: 'Process id inside the sandbox.' });

export const ExecStartedSchema = strictObject({ execId: ExecIdSchema, pid }, { $id: 'ExecStarted' });

export const ExecSchema = strictObject(
  {
    execId: ExecIdSchema,
    pid,
    argv: Type.Array(Type.String()),
    user: Type.String(),
    startedAt: TimeSchema,
    pty: Type.Boolean(),
    exited: Type.Optional(strictObject(exit)),
  },
  { $id: 'Exec' },
);

export const ExecListSchema = strictObject({ items: Type.Array(ExecSchema) }, { $id: 'ExecList' });

/** Payload of an event frame. */
export const ExecEventSchema = Type.Union(
  [
    strictObject({ type: Type.Literal('started'), execId: ExecIdSchema, pid }),
    strictObject({ type: Type.Literal('attached'), execId: ExecIdSchema, pid, ...truncation }),
    strictObject({ type: Type.Literal('exited'), execId: ExecIdSchema, ...exit }),
    strictObject({ type: Type.Literal('error'), error: ErrorBodySchema.properties.error }),
  ],
  { $id: 'ExecEvent' },
);

export const ExecOutputQuerySchema = strictObject({
  follow: Type.Optional(Type.Boolean({ description: 'Stays until the program ends; true by default.' })),
});

export const ExecStdinQuerySchema = strictObject({
  end: Type.Optional(
    Type.Boolean({ description: 'Closes standard input after these bytes; false by default.' }),
  ),
});

export const StdinWrittenSchema = strictObject(
  { bytes: Type.Integer({ minimum: 0, description: 'Bytes that the program was given.' }) },
  { $id: 'StdinWritten' },
);

export const SignalSchema = strictObject(
  {
    signal: Type.Integer({
      minimum: 1,
      maximum: 64,
      description: 'Number; goes to the whole process group.',
    }),
  },
  { $id: 'Signal' },
);

export type StartExec = Static<typeof StartExecSchema>;
export type ExecResult = Static<typeof ExecResultSchema>;
export type ExecStarted = Static<typeof ExecStartedSchema>;
export type Exec = Static<typeof ExecSchema>;
export type ExecEvent = Static<typeof ExecEventSchema>;
