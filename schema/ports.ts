/** The API's shapes of ports that are visited from outside. */
import { Type } from '@sinclair/typebox';
import { limits } from '../src/base/limits.ts';

export const PortNumber = Type.String({
  pattern: '^([1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])$',
  description: 'Port inside the sandbox, 1 to 65535',
});

export const SignPreview = Type.Object(
  {
    expiresInMs: Type.Optional(
      Type.Integer({
        minimum: 1000,
        maximum: limits.previewMsMax,
        description: 'How long the URL opens the port; an hour by default',
      }),
    ),
  },
  { additionalProperties: false },
);

export const Preview = Type.Object({
  url: Type.String({ description: 'Opens the port by itself: whoever has it may visit' }),
  expiresAt: Type.Optional(
    Type.String({ description: 'ISO 8601, UTC; the end of the sandbox ends it before' }),
  ),
});
