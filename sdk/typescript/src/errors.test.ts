/** The codes of the SDK are those of the server's table. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { errorTable } from '../../../src/base/errors.ts';
import { CasemateError, errorCodes } from './errors.ts';

it('knows every code of the table, in its order', () => {
  assert.deepEqual([...errorCodes], Object.keys(errorTable));
});

it('agrees on what may be tried again', () => {
  for (const code of errorCodes) {
    assert.equal(new CasemateError(code, '').retryable, errorTable[code].retryable, code);
  }
});
