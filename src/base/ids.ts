/** Random identifiers: sandbox ids are 20 characters of [a-z0-9], keys 20 random bytes in hex. */
import { randomBytes } from 'node:crypto';

const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** What a sandbox id looks like; fixed length because runsc resolves ids by prefix. */
export const sandboxIdPattern = /^[a-z0-9]{20}$/;

/** A fresh id of `length` characters of [a-z0-9], uniform (bytes ≥ 252 are thrown away). */
export function newId(length = 20): string {
  let id = '';
  while (id.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < 252 && id.length < length) id += alphabet[byte % 36];
    }
  }
  return id;
}

/** The secret part of an API key: 20 random bytes in hex. */
export function newKeySecret(): string {
  return randomBytes(20).toString('hex');
}
