/** The egress policy language, written once: what a sandbox may reach. Everything that no rule allows is denied. */
import { type Static, Type } from '@sinclair/typebox';

const closed = { additionalProperties: false } as const;
export const presetNames = ['pip', 'npm', 'apt', 'cargo', 'go'] as const;

const Ports = Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), {
  minItems: 1,
  maxItems: 32,
  description: 'TCP ports (UDP where protocol is udp); 80 and 443 where a host rule names none',
});
const Host = Type.String({
  minLength: 1,
  maxLength: 255,
  description:
    'Host name, or `*.example.com` for every name below (not for example.com itself); `*` is every name, for administrators',
});
const Methods = Type.Array(Type.String({ pattern: '^[A-Z]{1,16}$' }), { minItems: 1, maxItems: 16 });
const Paths = Type.Array(Type.String({ pattern: '^/[\\x21-\\x7e]*$', maxLength: 1024 }), {
  minItems: 1,
  maxItems: 32,
  description: 'Path prefixes that end at a segment: `/v1` allows /v1 and /v1/x, not /v10',
});
const Protocol = Type.String({
  enum: ['tls', 'http', 'tcp', 'udp'],
  description:
    'What is spoken on these ports; tls on 443 and 8443, http on 80 and 8080, tcp on others by default. udp where nothing but a rule that says so: of one host or of at most 16 addresses, with its ports',
});
const Header = Type.Object(
  {
    name: Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" }),
    value: Type.String({
      pattern: '^[\\x20-\\x7e]*$',
      maxLength: 4096,
      description: 'May name secrets: `Bearer {{secret:github}}`',
    }),
  },
  closed,
);

const hostConditions = {
  host: Host,
  ports: Type.Optional(Ports),
  protocol: Type.Optional(Protocol),
  methods: Type.Optional(Methods),
  paths: Type.Optional(Paths),
};
export const AllowHost = Type.Object(
  {
    ...hostConditions,
    inspect: Type.Optional(
      Type.Boolean({
        description: 'Terminate TLS even where no other field needs it, so that Host is checked',
      }),
    ),
    requestBytesMax: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Bytes of one request’s body; a longer one is refused' }),
    ),
    responseBytesMax: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Bytes of one answer’s body; a longer one is refused or cut' }),
    ),
    headers: Type.Optional(
      Type.Array(Header, { maxItems: 16, description: 'Set on every request; the sandbox never sees them' }),
    ),
    allowPrivate: Type.Optional(
      Type.Boolean({ description: 'The name may resolve to a private address; for administrators' }),
    ),
  },
  closed,
);
export const AllowCidr = Type.Object(
  {
    cidr: Type.String({ minLength: 3, maxLength: 64 }),
    ports: Ports,
    protocol: Type.Optional(Protocol),
    allowPrivate: Type.Optional(Type.Boolean()),
  },
  closed,
);
export const AllowPreset = Type.Object(
  {
    preset: Type.String({ enum: [...presetNames], description: 'What the server’s own package clients use' }),
  },
  closed,
);
export const DenyHost = Type.Object(hostConditions, closed);
export const DenyCidr = Type.Object(
  { cidr: Type.String({ minLength: 3, maxLength: 64 }), ports: Type.Optional(Ports) },
  closed,
);

export const Budgets = Type.Object(
  {
    bytesMax: Type.Optional(Type.Integer({ minimum: 0, description: 'Bytes both ways over the whole life' })),
    connectionsMax: Type.Optional(Type.Integer({ minimum: 0, description: 'Open at once' })),
    connectionsPerMinuteMax: Type.Optional(Type.Integer({ minimum: 0, description: 'New ones per host' })),
    bytesPerSecondMax: Type.Optional(
      Type.Integer({
        minimum: 1024,
        description: 'Bytes both ways per host; more is slowed down, not refused',
      }),
    ),
  },
  closed,
);

export const EgressPolicy = Type.Object(
  {
    allow: Type.Optional(Type.Array(Type.Union([AllowHost, AllowCidr, AllowPreset]), { maxItems: 256 })),
    deny: Type.Optional(Type.Array(Type.Union([DenyHost, DenyCidr]), { maxItems: 256 })),
    budgets: Type.Optional(Budgets),
    note: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 400,
        pattern: '^[\\x20-\\x7e]*$',
        description: 'Said with every denial: whom to ask, where to read',
      }),
    ),
  },
  closed,
);

export type AllowHost = Static<typeof AllowHost>;
export type AllowCidr = Static<typeof AllowCidr>;
export type AllowPreset = Static<typeof AllowPreset>;
export type DenyHost = Static<typeof DenyHost>;
export type DenyCidr = Static<typeof DenyCidr>;
export type Budgets = Static<typeof Budgets>;
export type EgressPolicy = Static<typeof EgressPolicy>;
export type PresetName = (typeof presetNames)[number];
