/** Pieces that the schemas of several routes share: ids, names, maps, paging, errors. */
import { type Static, type TProperties, Type } from '@sinclair/typebox';
import { type ErrorCode, errorTable } from '../src/base/errors.ts';
import { limits } from '../src/base/limits.ts';

/** An object that refuses fields it does not know. */
export function strictObject<Properties extends TProperties>(
  properties: Properties,
  options: { $id?: string; description?: string; oneOf?: { required: string[] }[] } = {},
) {
  return Type.Object(properties, { ...options, additionalProperties: false });
}

export const SandboxIdSchema = Type.String({
  pattern: '^[a-z0-9]{20}$',
  description: 'Id of a sandbox: 20 characters of [a-z0-9].',
});

export const ExecIdSchema = Type.String({
  pattern: '^[a-z0-9]{20}$',
  description: 'Id of a program that was started in a sandbox.',
});

export const KeyIdSchema = Type.String({
  pattern: '^[a-z0-9]{20}$',
  description: 'Id of an API key; not the key itself.',
});

export const TemplateNameSchema = Type.String({
  pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
  description: 'Name of a template, for example `base` or `python`.',
});

export const RuntimeNameSchema = Type.String({
  pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
  description: 'Name of a runtime, for example `gvisor`. Casemate never falls back to another one.',
});

export const TenantIdSchema = Type.String({
  pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
  description: 'Id of a tenant.',
});

export const UserSchema = Type.String({
  pattern: '^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})$',
  description: 'User inside the sandbox, by name or number.',
});

/** A path inside the sandbox; the guest resolves it with the rights of the user that asks. */
export const PathSchema = Type.String({
  minLength: 1,
  maxLength: 4096,
  pattern: '^[^\\u0000]*$',
  description: 'Path inside the sandbox; a relative one starts at the home folder of the user.',
});

export const FileModeSchema = Type.Integer({
  minimum: 0,
  maximum: 0o7777,
  description: 'Permission bits as a decimal number (420 is 0o644).',
});

export const EnvSchema = Type.Record(
  Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }),
  Type.String({ maxLength: 128 * 1024, pattern: '^[^\\u0000]*$' }),
  {
    additionalProperties: false,
    maxProperties: limits.envEntriesMax,
    description: `Environment variables; at most ${limits.envBytesMax} bytes together. Their values are never logged.`,
  },
);

/** Keys without "=", because lists are filtered by `key=value`. */
export const TagsSchema = Type.Record(
  Type.String({ pattern: '^[^=\\u0000-\\u001f]{1,128}$' }),
  Type.String({ maxLength: 4096, pattern: '^[^\\u0000]*$' }),
  {
    additionalProperties: false,
    maxProperties: limits.metadataEntriesMax,
    description: `Text by name; at most ${limits.metadataBytesMax} bytes together. Lists can be filtered by it.`,
  },
);

export const TerminalSizeSchema = strictObject(
  {
    rows: Type.Integer({ minimum: 1, maximum: 1000, description: 'Lines.' }),
    cols: Type.Integer({ minimum: 1, maximum: 1000, description: 'Columns.' }),
  },
  { $id: 'TerminalSize' },
);

export const PageLimitSchema = Type.Integer({
  minimum: 1,
  maximum: limits.pageItemsMax,
  description: `Items a page; ${limits.pageItemsMax} at most and by default.`,
});

export const CursorSchema = Type.String({
  minLength: 1,
  maxLength: 256,
  pattern: '^[A-Za-z0-9_-]+$',
  description: '`nextCursor` of the page before.',
});

export const TimeSchema = Type.String({ format: 'date-time', description: 'ISO 8601, UTC.' });

const codes = Object.keys(errorTable) as ErrorCode[];

export const ErrorBodySchema = strictObject(
  {
    error: strictObject({
      code: Type.Union(
        codes.map((code) => Type.Literal(code)),
        { description: 'Stable; programs decide by it.' },
      ),
      message: Type.String({ description: 'What happened.' }),
      hint: Type.String({ description: 'What to do about it.' }),
      requestId: Type.Optional(Type.String({ description: 'Names this request in the log of the server.' })),
    }),
  },
  { $id: 'Error', description: 'Every error of the API has this body.' },
);

export type TerminalSize = Static<typeof TerminalSizeSchema>;
