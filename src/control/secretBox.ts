/** Seals the values of secrets for the database: AES-256-GCM, bound to the row that they stand in. */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { CasemateError } from '../base/errors.ts';
import type { SealedValue, SecretRow } from '../store/types.ts';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;
export const secretKeyBytes = 32;

export class SecretBox {
  readonly #key: Buffer;
  /** Tells one key from another and nothing about either. */
  readonly keyId: string;

  /** @param key 32 random bytes. */
  constructor(key: Buffer) {
    this.#key = key;
    this.keyId = createHash('sha256').update('casemate secret key').update(key).digest('hex').slice(0, 16);
  }

  seal(row: SecretRow, value: string): SealedValue {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, this.#key, nonce).setAAD(bindingOf(row));
    const sealed = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
    return { keyId: this.keyId, bytes: Buffer.concat([nonce, cipher.getAuthTag(), sealed]) };
  }

  /** @throws CasemateError `secret_unreadable` for another key's, and where the row is not the one that was sealed. */
  open(row: SecretRow, { keyId, bytes }: SealedValue): string {
    if (keyId !== this.keyId) {
      throw new CasemateError(
        'secret_unreadable',
        `The secret "${row.name}" was sealed with the key ${keyId}; the server has ${this.keyId}.`,
      );
    }
    const sealed = Buffer.from(bytes);
    const nonce = sealed.subarray(0, nonceBytes);
    try {
      const decipher = createDecipheriv(algorithm, this.#key, nonce, { authTagLength: tagBytes })
        .setAAD(bindingOf(row))
        .setAuthTag(sealed.subarray(nonceBytes, nonceBytes + tagBytes));
      const rest = sealed.subarray(nonceBytes + tagBytes);
      return Buffer.concat([decipher.update(rest), decipher.final()]).toString('utf8');
    } catch {
      throw new CasemateError(
        'secret_unreadable',
        `The secret "${row.name}" does not open: its row in the database is not the one that was written.`,
      );
    }
  }
}

/** Who can write to the database must not be able to send a value to another host or hand it to another tenant. */
function bindingOf(row: SecretRow): Buffer {
  const { id, tenantId, workspaceId = '', functionId = '', name, version, hosts, env } = row;
  return Buffer.from(JSON.stringify([id, tenantId, workspaceId, functionId, name, version, hosts, env]));
}
