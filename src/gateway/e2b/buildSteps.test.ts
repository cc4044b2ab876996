/** Holds Dockerfiles made of E2B's steps to what their parser reads in them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseDockerfile } from '../../control/templates/dockerfile.ts';
import { dockerfileOf, stepOfLine, worded } from './buildSteps.ts';

const base = { from: 'debian:12', user: 'user', workdir: '/home/user' };

it('gives each step its lines, whatever is in it', () => {
  const hostile = 'cat > /x <<EOF\nFROM scratch\nEOF\necho "$HOME" \\\n  \'a\'';
  const dockerfile = dockerfileOf({
    ...base,
    steps: [
      { type: 'RUN', args: [hostile] },
      { type: 'RUN', args: ['id -u', 'root'] },
      { type: 'WORKDIR', args: ['app'] },
      { type: 'ENV', args: ['A', 'b "c" \\d', 'PATH', '/x:$PATH'] },
      { type: 'COPY', args: ['./a b/$x', '/to/', '', '0755'] },
      { type: 'USER', args: ['root'] },
      { type: 'WORKDIR', args: ['/srv'] },
    ],
  });
  const stages = parseDockerfile(dockerfile, {}).stages;
  assert.equal(stages.length, 1, dockerfile);
  const read = (stages[0]?.instructions ?? []).map(({ keyword, line, list, text, flags }) => [
    stepOfLine(line),
    keyword,
    list?.at(-1) ?? text,
    ...flags.map(([name, value]) => `${name}=${value}`),
  ]);
  assert.deepEqual(read, [
    ['base', 'USER', 'user'],
    ['base', 'WORKDIR', '"/home/user"'],
    ['1', 'RUN', hostile],
    ['2', 'USER', 'root'],
    ['2', 'RUN', 'id -u'],
    ['2', 'USER', 'user'],
    ['3', 'USER', 'root'],
    ['3', 'RUN', 'user'],
    ['3', 'USER', 'user'],
    ['3', 'WORKDIR', '"/home/user/app"'],
    ['4', 'ENV', 'A="b \\"c\\" \\\\d" PATH="/x:$PATH"'],
    ['5', 'COPY', '/to/', 'chown=user', 'chmod=0755'],
    ['6', 'USER', 'root'],
    ['7', 'WORKDIR', '"/srv"'],
  ]);
  const copied = stages[0]?.instructions.find(({ keyword }) => keyword === 'COPY');
  assert.deepEqual(copied?.list, ['4/a b/\\$x', '/to/']);
});

it('words a step as its client wrote it', () => {
  const line =
    dockerfileOf({ ...base, steps: [{ type: 'RUN', args: ['echo "a" < b'] }] }).split('\n')[8] ?? '';
  assert.equal(worded(`${line}: ended with 7`), 'RUN echo "a" < b: ended with 7');
  const steps = [
    { type: 'WORKDIR', args: ['/a'] },
    { type: 'COPY', args: ['x', '/to'] },
  ];
  const [made = '', copied = ''] = dockerfileOf({ ...base, steps }).match(/^(?:RUN|COPY) .*$/gm) ?? [];
  assert.equal(worded(made), 'WORKDIR /a');
  assert.equal(worded(copied), 'COPY --chown=user ["x","/to"]');
  assert.equal(worded('FROM debian'), 'FROM debian');
});

it('refuses what would be another instruction', () => {
  for (const step of [
    { type: 'USER', args: ['root\nFROM scratch'] },
    { type: 'WORKDIR', args: ['/a\nRUN id'] },
    { type: 'ENV', args: ['A=1 B', '2'] },
    { type: 'ENV', args: ['A', '1\nRUN id'] },
    { type: 'COPY', args: ['../x', '/'] },
    { type: 'COPY', args: ['x', '/\nRUN id'] },
    { type: 'COPY', args: ['x', '/', 'a b'] },
    { type: 'ONBUILD', args: ['x'] },
    { type: 'RUN', args: [] },
  ])
    assert.throws(
      () => dockerfileOf({ ...base, steps: [step] }),
      { code: 'invalid_request' },
      JSON.stringify(step),
    );
});
