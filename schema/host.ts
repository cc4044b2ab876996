/** Schemas of what the host offers: templates, runtimes, warm pools. */
import { type Static, Type } from '@sinclair/typebox';
import {
  ErrorBodySchema,
  RuntimeNameSchema,
  strictObject,
  TemplateNameSchema,
  TimeSchema,
} from './common.ts';

export const TemplateSchema = strictObject(
  {
    name: TemplateNameSchema,
    digest: Type.String({ description: 'SHA-256 of the definition; rebuilt only when it changes.' }),
    ready: Type.Boolean(),
    bytes: Type.Integer({ minimum: 0, description: 'Size on disk in bytes; 0 until it is built.' }),
    builtAt: Type.Optional(TimeSchema),
  },
  { $id: 'Template' },
);

export const TemplateListSchema = strictObject(
  { items: Type.Array(TemplateSchema) },
  { $id: 'TemplateList' },
);

/** One line of a build. */
export const BuildEventSchema = Type.Union(
  [
    strictObject({
      type: Type.Literal('progress'),
      phase: Type.String(),
      percent: Type.Number({ minimum: 0, maximum: 100, description: 'Of the whole build.' }),
      message: Type.String(),
    }),
    strictObject({ type: Type.Literal('done'), template: TemplateSchema }),
    strictObject({ type: Type.Literal('error'), error: ErrorBodySchema.properties.error }),
  ],
  { $id: 'BuildEvent' },
);

const limitName = Type.Union([
  Type.Literal('cpus'),
  Type.Literal('memoryMib'),
  Type.Literal('diskMib'),
  Type.Literal('pids'),
]);

export const RuntimeSchema = strictObject(
  {
    name: RuntimeNameSchema,
    available: Type.Boolean(),
    reason: Type.Optional(Type.String({ description: 'What is missing.' })),
    remedy: Type.Optional(Type.String({ description: 'What would make it available.' })),
    version: Type.Optional(Type.String()),
    detail: Type.Optional(Type.String()),
    capabilities: Type.Optional(
      strictObject({
        isolation: Type.Union([
          Type.Literal('application-kernel'),
          Type.Literal('virtual-machine'),
          Type.Literal('none'),
        ]),
        pause: Type.Boolean(),
        snapshot: Type.Boolean(),
        fork: Type.Union([Type.Literal('copy-on-write'), Type.Literal('copy'), Type.Literal('none')]),
        lateLimits: Type.Array(limitName, { description: 'Limits that can change while it runs.' }),
        limitsSeenInside: strictObject({ cpus: Type.String(), memory: Type.String(), disk: Type.String() }),
        diskFull: Type.String({ description: 'What happens at the disk limit.' }),
        inodes: Type.String({ description: 'What bounds the number of files.' }),
      }),
    ),
  },
  { $id: 'Runtime' },
);

export const RuntimeListSchema = strictObject({ items: Type.Array(RuntimeSchema) }, { $id: 'RuntimeList' });

const poolSize = Type.Integer({ minimum: 0, maximum: 1000, description: 'Warm sandboxes wanted.' });

export const PoolSchema = strictObject(
  {
    template: TemplateNameSchema,
    runtime: RuntimeNameSchema,
    size: poolSize,
    ready: Type.Integer({ minimum: 0, description: 'Warm sandboxes there are.' }),
    starting: Type.Integer({ minimum: 0 }),
  },
  { $id: 'Pool' },
);

export const PoolListSchema = strictObject({ items: Type.Array(PoolSchema) }, { $id: 'PoolList' });

export const SetPoolSchema = strictObject(
  { runtime: Type.Optional(RuntimeNameSchema), size: poolSize },
  { $id: 'SetPool' },
);

export type Template = Static<typeof TemplateSchema>;
export type BuildEvent = Static<typeof BuildEventSchema>;
export type Runtime = Static<typeof RuntimeSchema>;
export type Pool = Static<typeof PoolSchema>;
export type SetPool = Static<typeof SetPoolSchema>;
