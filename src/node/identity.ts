/** What a copy of a machine must not share with another one. */
import { randomBytes } from 'node:crypto';

const entropyBytes = 64;

export function freshEntropy(): string {
  return randomBytes(entropyBytes).toString('base64');
}

export function newMachineId(): string {
  return randomBytes(16).toString('hex');
}
