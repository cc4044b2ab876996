/** Templates are found by a digest of what they are made of: any change gives another, the order of fields none. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { CasemateError } from '../base/errors.ts';
import { definitionNames, digestOf, readDefinition, type TemplateDefinition } from './definition.ts';

const definition: TemplateDefinition = {
  name: 'tiny',
  suite: 'bookworm',
  packages: ['bash', 'sudo'],
  user: { name: 'user', uid: 1000, sudo: true },
};

it('counts the files beside a definition as part of it', async () => {
  const whole = await readDefinition('code-interpreter');
  const server = '/opt/code-interpreter/serve.py';
  assert.match(whole.files?.[server] ?? '', /49999/);
  const changed = { ...whole, files: { ...whole.files, [server]: '# another' } };
  assert.notEqual(digestOf(changed), digestOf(whole));
});

it('gives the same digest whatever the order of the fields', () => {
  const { name, suite, packages, user } = definition;
  const turned = { user: { sudo: user.sudo, uid: user.uid, name: user.name }, packages, suite, name };
  assert.equal(digestOf(turned), digestOf(definition));
  assert.match(digestOf(definition), /^[0-9a-f]{64}$/);
});

it('gives another digest for every change', () => {
  const changed: TemplateDefinition[] = [
    { ...definition, name: 'other' },
    { ...definition, suite: 'trixie' },
    { ...definition, packages: ['sudo', 'bash'] },
    { ...definition, packages: ['bash'] },
    { ...definition, user: { ...definition.user, sudo: false } },
    { ...definition, warmUp: 'pass' },
  ];
  assert.equal(new Set([definition, ...changed].map(digestOf)).size, changed.length + 1);
});

it('ships templates, each with a user that is not root', async () => {
  assert.deepEqual((await definitionNames()).sort(), ['base', 'code-interpreter', 'desktop', 'python']);
  for (const name of await definitionNames()) {
    const shipped = await readDefinition(name);
    assert.equal(shipped.name, name);
    assert.ok(shipped.user.uid > 0);
  }
});

it('finds no template behind a name that is a path or no name at all', async () => {
  const hostile = [
    '',
    '.',
    '..',
    '../templates/base',
    'base.json',
    'base/../base',
    '/etc/passwd',
    'Base',
    '-base',
    'a\0b',
  ];
  for (const name of [...hostile, 'a'.repeat(64), 'no-such-template', '__proto__']) {
    await assert.rejects(
      readDefinition(name),
      (error) => error instanceof CasemateError && error.code === 'not_found',
      name,
    );
  }
});
