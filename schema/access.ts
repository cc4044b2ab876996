/** Schemas of API keys and of the audit log. */
import { type Static, Type } from '@sinclair/typebox';
import {
  CursorSchema,
  KeyIdSchema,
  PageLimitSchema,
  SandboxIdSchema,
  strictObject,
  TenantIdSchema,
  TimeSchema,
} from './common.ts';

/** `admin`: all tenants. `tenant`: all of its tenant. `sandbox:<id>`: the routes of that sandbox alone. */
export const ScopeSchema = Type.String({
  pattern: '^(admin|tenant|sandbox:[a-z0-9]{20})$',
  description: '`admin` (all tenants), `tenant` (its tenant) or `sandbox:<id>` (that sandbox alone).',
});

const key = {
  id: KeyIdSchema,
  name: Type.String({ minLength: 1, maxLength: 128, pattern: '^[^\\u0000-\\u001f]*$' }),
  scope: ScopeSchema,
  tenantId: TenantIdSchema,
  createdAt: TimeSchema,
};

export const KeySchema = strictObject(key, { $id: 'Key', description: 'A key without its secret.' });
export const KeyListSchema = strictObject({ items: Type.Array(KeySchema) }, { $id: 'KeyList' });

export const CreateKeySchema = strictObject(
  {
    name: key.name,
    scope: ScopeSchema,
    tenantId: Type.Optional(
      Type.String({
        pattern: TenantIdSchema.pattern ?? '',
        description:
          "Tenant that the key belongs to, made where it does not exist; the caller's own by default.",
      }),
    ),
  },
  { $id: 'CreateKey' },
);

export const CreatedKeySchema = strictObject(
  { ...key, key: Type.String({ description: 'The key itself; shown this once.' }) },
  { $id: 'CreatedKey' },
);

export const ListAuditQuerySchema = strictObject({
  sandboxId: Type.Optional(SandboxIdSchema),
  action: Type.Optional(
    Type.String({
      pattern: '^[a-z]+(\\.[a-z_]+)?$',
      maxLength: 64,
      description: 'For example `exec.start`.',
    }),
  ),
  limit: Type.Optional(PageLimitSchema),
  cursor: Type.Optional(CursorSchema),
});

export const AuditEventSchema = strictObject(
  {
    seq: Type.Integer({ minimum: 1, description: 'Position in the log; has no gaps over all tenants.' }),
    at: TimeSchema,
    tenantId: Type.String(),
    actor: Type.String({ description: '`key:<id>`, `system`, or `anonymous`.' }),
    action: Type.String(),
    sandboxId: Type.Optional(Type.String()),
    detail: Type.Record(Type.String(), Type.Unknown(), {
      description: 'Never holds secrets or file contents.',
    }),
    hash: Type.String({ description: 'SHA-256 over the hash before it and this event.' }),
  },
  { $id: 'AuditEvent' },
);

export const AuditPageSchema = strictObject(
  { items: Type.Array(AuditEventSchema), nextCursor: Type.Optional(CursorSchema) },
  { $id: 'AuditPage', description: 'Newest first.' },
);

export type Key = Static<typeof KeySchema>;
export type CreateKey = Static<typeof CreateKeySchema>;
export type CreatedKey = Static<typeof CreatedKeySchema>;
export type AuditEvent = Static<typeof AuditEventSchema>;
export type AuditPage = Static<typeof AuditPageSchema>;
export type ListAuditQuery = Static<typeof ListAuditQuerySchema>;
