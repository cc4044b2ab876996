/** What every policy denies until a rule names the port outright: mail, and the ports of mining pools. */

const mailPorts = [25, 465, 587];
const miningPorts = [
  3333, 3334, 3335, 3336, 4444, 5555, 7777, 8008, 9332, 9999, 14433, 14444, 20535, 45560, 45700,
];
/** DNS over TLS or QUIC would be a second resolver. */
const resolverPorts = [53, 853];

const kinds = new Map<number, string>([
  ...mailPorts.map((port) => [port, 'mail'] as const),
  ...miningPorts.map((port) => [port, 'mining pool'] as const),
  ...resolverPorts.map((port) => [port, 'resolver'] as const),
]);

/** What a port that is denied by default is known for. */
export function builtinDenial(port: number): string | undefined {
  return kinds.get(port);
}

/** Ports that no rule opens. */
export function neverOpens(port: number): boolean {
  return resolverPorts.includes(port);
}
