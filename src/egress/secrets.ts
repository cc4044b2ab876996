/** Puts secrets into requests on their way out; where that is not possible, the request is refused. */
import { hostMatches } from '../policy/host.ts';
import type { HeaderRule } from '../policy/policy.ts';
import type { Secret } from './sandbox.ts';

export class SecretRefusal extends Error {}

export interface Outgoing {
  /** Name, value, name, value, … */
  readonly headers: readonly string[];
  readonly path: string;
}

export interface Place {
  readonly host: string | undefined;
  /** Whether the way to the host is encrypted. */
  readonly encrypted: boolean;
}

/**
 * Replaces placeholders and sets the headers of rules.
 * @throws SecretRefusal with a reason that names the secret, never its value.
 */
export function applySecrets(
  secrets: readonly Secret[],
  place: Place,
  outgoing: Outgoing,
  rules: readonly HeaderRule[],
): Outgoing {
  const headers = outgoing.headers.map((text, index) =>
    index % 2 === 0 ? text : inHeader(secrets, place, text),
  );
  const path = replaced(secrets, place, outgoing.path, encodeURIComponent);
  for (const rule of rules) {
    const value = rule.value.replace(/\{\{secret:([^}]*)\}\}/g, (_, name: string) =>
      forHeader(
        valueFor(
          place,
          secrets.find((secret) => secret.name === name),
          name,
        ),
        name,
      ),
    );
    setHeader(headers, rule.name, value);
  }
  return { headers, path };
}

/** @throws SecretRefusal where the secret does not go there. */
export function valueFor(place: Place, secret: Secret | undefined, name: string): string {
  if (secret === undefined) throw new SecretRefusal(`There is no secret "${name}" for this sandbox.`);
  const { host } = place;
  if (host === undefined || !secret.hosts.some((pattern) => hostMatches(pattern, host))) {
    throw new SecretRefusal(
      secret.hosts.length === 0
        ? `The secret "${secret.name}" was removed.`
        : `The secret "${secret.name}" is not bound to this host.`,
    );
  }
  if (!place.encrypted) {
    throw new SecretRefusal(`The secret "${secret.name}" is not sent over plain HTTP; use https.`);
  }
  if (secret.value === undefined) {
    throw new SecretRefusal(`The secret "${secret.name}" has no value that the server can read.`);
  }
  return secret.value;
}

/** Headers carry bytes, and no line ends. @throws SecretRefusal */
function forHeader(value: string, name: string): string {
  if (/\p{Cc}/u.test(value.replaceAll('\t', ''))) {
    throw new SecretRefusal(`The value of the secret "${name}" has line ends and cannot stand in a header.`);
  }
  return Buffer.from(value).toString('latin1');
}

function replaced(
  secrets: readonly Secret[],
  place: Place,
  text: string,
  encode: (value: string, name: string) => string = forHeader,
): string {
  let result = text;
  for (const secret of secrets) {
    if (!result.includes(secret.placeholder)) continue;
    result = result.replaceAll(secret.placeholder, () =>
      encode(valueFor(place, secret, secret.name), secret.name),
    );
  }
  return result;
}

/** Basic credentials hide the placeholder in base64. */
function inHeader(secrets: readonly Secret[], place: Place, value: string): string {
  const basic = /^(basic +)([A-Za-z0-9+/]+={0,2})$/i.exec(value);
  if (basic === null) return replaced(secrets, place, value);
  const plain = Buffer.from(basic[2] ?? '', 'base64').toString('latin1');
  const filled = replaced(secrets, place, plain);
  return filled === plain ? value : `${basic[1]}${Buffer.from(filled, 'latin1').toString('base64')}`;
}

function setHeader(headers: string[], name: string, value: string): void {
  for (let at = headers.length - 2; at >= 0; at -= 2) {
    if (headers[at]?.toLowerCase() === name.toLowerCase()) headers.splice(at, 2);
  }
  headers.push(name, value);
}
