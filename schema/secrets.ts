/** The API's shapes of secrets, and of policies that stand above single sandboxes. */
import { Type } from '@sinclair/typebox';
import { limits } from '../src/base/limits.ts';
import { EgressPolicy } from './policy.ts';

const closed = { additionalProperties: false } as const;
const Time = Type.String({ description: 'ISO 8601, UTC' });

export const SecretName = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$', description: 'Secret name' });

export const PolicyQuery = Type.Object(
  {
    tenantId: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
        description: 'Another tenant: for administrators',
      }),
    ),
  },
  closed,
);
export const PolicyAnswer = Type.Object({ policy: Type.Union([EgressPolicy, Type.Null()]) });

export const LearnedAnswer = Type.Object({
  policy: EgressPolicy,
  remarks: Type.Array(Type.String(), { description: 'What no rule of a caller opens' }),
  incomplete: Type.Boolean({ description: 'There were more denials than the log keeps' }),
});

export const SetSecret = Type.Object(
  {
    value: Type.String({ pattern: '^[^\\0]+$', maxLength: limits.secretValueBytesMax }),
    hosts: Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
      minItems: 1,
      maxItems: 32,
      description: 'Where the value may go: names, or `*.example.com`',
    }),
    env: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$',
        description: 'Variable with the placeholder; made of the name by default',
      }),
    ),
  },
  closed,
);
export const Secret = Type.Object(
  {
    name: Type.String(),
    hosts: Type.Array(Type.String()),
    env: Type.String(),
    version: Type.Integer({ minimum: 1, description: 'How many values it has had' }),
    createdAt: Time,
    updatedAt: Time,
  },
  { $id: 'Secret' },
);
export const SecretList = Type.Object({ items: Type.Array(Secret) });
