/** Requests of E2B's control plane about webhooks, as its documentation has them. */
import { Type } from '@sinclair/typebox';

const closed = { additionalProperties: false };
const change = {
  name: Type.String({ pattern: '^[^\\0]{1,128}$' }),
  url: Type.String({ minLength: 1, maxLength: 2048 }),
  events: Type.Array(
    Type.String({
      enum: ['created', 'killed', 'updated', 'paused', 'resumed', 'checkpointed'].map(
        (name) => `sandbox.lifecycle.${name}`,
      ),
    }),
    { minItems: 1, maxItems: 6 },
  ),
  signatureSecret: Type.String({ minLength: 1, maxLength: 1024 }),
};
const enabled = Type.Optional(Type.Boolean());

export const NewWebhook = Type.Object({ ...change, enabled }, closed);
export const WebhookChange = Type.Partial(Type.Object({ ...change, enabled }), closed);
export const DeliveryQuery = Type.Object(
  {
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    status: Type.Optional(Type.String({ enum: ['pending', 'delivered', 'failed'] })),
  },
  closed,
);
