/** E2B's code interpreter SDK for JavaScript, unchanged, against real kernels: results, languages, contexts, charts. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Execution, NotFoundError, Sandbox, TimeoutError } from '@e2b/code-interpreter';
import { Sandbox as NativeSandbox } from '../../sdk/typescript/src/index.ts';
import { startDomainServer } from './domain.ts';
import { allCalled, type Column, holdBlock, lastLine, publicCalls, table, versionOf } from './e2b/surface.ts';
import { missingForServer, needTemplates, startServer, stopProcess, type TestServer } from './server.ts';

const skip = missingForServer() ?? false;

describe('the code interpreter', { skip }, () => {
  let server: TestServer;
  let sandbox: Sandbox;
  before(async () => {
    server = await startServer();
    await needTemplates(server, ['code-interpreter']);
    sandbox = await Sandbox.create({
      apiUrl: server.url,
      sandboxUrl: server.url,
      apiKey: server.apiKey.replace('casemate_', 'e2b_'),
      timeoutMs: 600_000,
      envs: { GIVEN: 'at create' },
    });
  });
  after(() => server.close());

  basics(() => sandbox);
  results(() => sandbox);
  charts(() => sandbox);
  contexts(() => sandbox);
  languages(() => sandbox);
  interruptions(() => sandbox);

  it("runs code through Casemate's own SDK", async () => {
    const { url, apiKey } = server;
    const native = await NativeSandbox.connect(sandbox.sandboxId, { url, apiKey });
    const heard: string[] = [];
    const onStdout = (text: string): void => void heard.push(text);
    const ran = await native.runCode('import os; print("né"); n = 6; os.environ["OWN"]', {
      env: { OWN: 'o' },
      onStdout,
    });
    assert.deepEqual([ran.text, ran.stdout, heard.join(''), ran.error], ['o', 'né\n', 'né\n', undefined]);
    assert.equal((await native.runCode('n * 7')).text, '42');
    assert.equal((await native.runCode('1 / 0')).error?.name, 'ZeroDivisionError');
    const context = await native.createCodeContext({ cwd: '/tmp' });
    assert.equal((await native.runCode('import os; os.getcwd()', { context })).text, '/tmp');
    await assert.rejects(native.createCodeContext({ cwd: '/nowhere' }), /no such folder/);
    await assert.rejects(native.runCode('1', { context: { ...context, id: 'gone' } }), { code: 'not_found' });
  });

  it('keeps variables over a pause', async () => {
    const { url, apiKey } = server;
    const native = await NativeSandbox.connect(sandbox.sandboxId, { url, apiKey });
    await sandbox.runCode('kept = [1, 2, 3]');
    await native.pause();
    await native.resume();
    assert.equal((await sandbox.runCode('sum(kept)')).text, '6');
    await sandbox.pause();
    await stopProcess(server.process);
    server = await startServer({ dataDir: server.dataDir, port: Number(new URL(url).port) });
    await sandbox.connect();
    assert.equal((await sandbox.runCode('kept')).text, '[1, 2, 3]', 'over a restart of the server as well');
    await native.pause({ keepMemory: false });
    await native.resume();
    const gone = await sandbox.runCode('kept');
    assert.equal(gone.error?.name, 'NameError', 'files only: the kernel is another one');
    assert.equal((await sandbox.runCode('import os; os.environ["GIVEN"]')).text, 'at create');
  });
});

describe('the code interpreter with E2B_DOMAIN alone', { skip }, () => {
  it('works by the newest SDK and by one of a year ago, each call as docs/e2b.md says', async () => {
    const domain = await startDomainServer();
    try {
      await needTemplates(domain.server, ['code-interpreter']);
      const columns: Column[] = [];
      for (const name of ['@e2b/code-interpreter', 'e2b-code-interpreter-a-year-ago']) {
        const { code, output } = await domain.run('interpreter.ts', { SDK: name });
        assert.equal(code, 0, output);
        assert.match(output, /^all found$/m);
        columns.push({ title: versionOf(name), outcomes: allCalled(publicCalls(name), lastLine(output)) });
      }
      holdBlock('calls of code interpreters by JavaScript', table(columns));
    } finally {
      await domain.close();
    }
  });
});

function basics(get: () => Sandbox): void {
  it('answers the last value, counts, and remembers', async () => {
    const first = await get().runCode('x = 20\nx + 1');
    const second = await get().runCode('x += 1; x');
    assert.equal(first.text, '21');
    assert.equal(second.text, '21');
    assert.equal(second.executionCount, (first.executionCount ?? 0) + 1);
    assert.equal((await get().runCode('"no quotes"')).text, 'no quotes');
    assert.equal((await get().runCode('x = 1')).text, undefined);
  });

  it('streams output in order while the code runs', async () => {
    const heard: string[] = [];
    const code =
      'import sys\nfor i in range(3):\n  print(i); sys.stdout.flush(); print("e", file=sys.stderr)\n6';
    const { logs, text } = await get().runCode(code, {
      onStdout: ({ line }) => void heard.push(line),
      onStderr: ({ line }) => void heard.push(line),
      onResult: (result) => void heard.push(result.text ?? ''),
    });
    assert.equal(heard.join('').replaceAll(/\s/g, '').replaceAll('e', '').slice(-4), '0126');
    assert.equal(logs.stdout.join(''), '0\n1\n2\n');
    assert.equal(logs.stderr.join(''), 'e\ne\ne\n');
    assert.equal(text, '6');
  });

  it('tells an error with its traceback', async () => {
    const told: string[] = [];
    const { error, results } = await get().runCode('1 / 0', { onError: ({ name }) => void told.push(name) });
    assert.equal(error?.name, 'ZeroDivisionError');
    assert.equal(error.value, 'division by zero');
    assert.match(error.traceback, /ZeroDivisionError/);
    assert.deepEqual([told, results], [['ZeroDivisionError'], []]);
    assert.equal((await get().runCode('input()')).error?.name, 'StdinNotImplementedError');
  });

  it('runs with variables of its own, and without them afterwards', async () => {
    const read = 'import os; os.environ.get("OWN")';
    assert.equal((await get().runCode(read, { envs: { OWN: `it's "set"` } })).text, `it\\'s "set"`);
    assert.equal((await get().runCode(read)).text, undefined);
  });

  it('makes contexts apart from each other', async () => {
    const context = await get().createCodeContext({ cwd: '/tmp' });
    await get().runCode('apart = 1', { context });
    assert.equal((await get().runCode('import os; os.getcwd()', { context })).text, '/tmp');
    assert.equal((await get().runCode('apart')).error?.name, 'NameError');
    await assert.rejects(
      get().runCode('1', { context: { ...context, id: 'none' } }),
      (error) => error instanceof NotFoundError,
    );
  });
}

function results(get: () => Sandbox): void {
  it('answers every kind of result', async () => {
    const code = `from IPython.display import *
display(HTML('<b>h</b>'), Markdown('*m*'), SVG('<svg xmlns="http://www.w3.org/2000/svg"/>'), Latex('$l$'))
display(JSON({'j': 1}), Javascript('js()'), Image(data=b'\\xff\\xd8\\xff\\xe0jpeg', format='jpeg'))
display({'application/pdf': 'cGRm', 'text/x-own': 'o'}, raw=True)`;
    const { results: all } = await get().runCode(code);
    assert.deepEqual(
      all.map((result) => result.formats().at(0)),
      ['html', 'markdown', 'svg', 'latex', 'json', 'javascript', 'jpeg', 'pdf'],
    );
    assert.equal(all[0]?.html, '<b>h</b>');
    assert.deepEqual(all[4]?.json, { j: 1 });
    assert.equal(all[7]?.extra['text/x-own'], 'o');
  });

  it('answers tables as data', async () => {
    const code = `import pandas as pd
pd.DataFrame({'n': [1, None], 's': ['a', 'b'], 't': pd.to_datetime(['2024-01-02', None])})`;
    const [table] = (await get().runCode(code)).results;
    assert.deepEqual(table?.data, { n: [1, null], s: ['a', 'b'], t: ['2024-01-02T00:00:00', null] });
    assert.match(table.html ?? '', /<table/);
  });

  it('carries more text than one message holds', async () => {
    const { logs } = await get().runCode('print("é" * 3_000_000)');
    assert.equal(logs.stdout.join('').length, 3_000_001);
  });

  it('runs as the user, with the environment that the sandbox was made with', async () => {
    const { text } = await get().runCode(
      'import os, getpass; [getpass.getuser(), os.environ["GIVEN"], os.getcwd()]',
    );
    assert.equal(text, "['user', 'at create', '/home/user']");
  });
}

function charts(get: () => Sandbox): void {
  const chartOf = async (code: string) => {
    const { results: all, error } = await get().runCode(
      `import matplotlib.pyplot as plt\n${code}\nplt.show()`,
    );
    assert.equal(error, undefined);
    assert.match(Buffer.from(all[0]?.png ?? '', 'base64').toString('latin1'), /^\x89PNG/);
    return JSON.parse(JSON.stringify(all[0]?.chart)) as Record<string, unknown>;
  };

  it('reads lines, with their axes', async () => {
    const line = await chartOf(
      "plt.plot([1, 2], [3, 4], label='a'); plt.title('T'); plt.xlabel('Time (s)'); plt.yscale('log')",
    );
    assert.partialDeepStrictEqual(line, {
      ...{ type: 'line', title: 'T', x_label: 'Time (s)', x_unit: 's', x_scale: 'linear', y_scale: 'log' },
      elements: [
        {
          label: 'a',
          points: [
            [1, 3],
            [2, 4],
          ],
        },
      ],
    });
    const dates = await chartOf(
      'import datetime as d; plt.plot([d.date(2024, 1, 1), d.date(2024, 1, 2)], [1, 2])',
    );
    assert.partialDeepStrictEqual(dates, {
      x_scale: 'datetime',
      elements: [{ points: [['2024-01-01', 1]] }],
    });
  });

  it('reads points, bars, pies and boxes', async () => {
    const { type, elements } = await chartOf('plt.scatter([1, 2], [3, 4])');
    assert.deepEqual(
      [type, elements],
      [
        'scatter',
        [
          {
            label: 'Group 0',
            points: [
              [1, 3],
              [2, 4],
            ],
          },
        ],
      ],
    );
    const bars = await chartOf("plt.barh(['a', 'b'], [5, 6], label='g'); plt.xlabel('n')");
    assert.partialDeepStrictEqual(bars, {
      ...{ type: 'bar', y_label: 'n' },
      elements: [
        { label: 'a', group: 'g', value: 5 },
        { label: 'b', group: 'g', value: 6 },
      ],
    });
    const pie = await chartOf("plt.pie([1, 3], labels=['x', 'y'])");
    assert.deepEqual(pie.elements, [
      { label: 'x', angle: 90, radius: 1 },
      { label: 'y', angle: 270, radius: 1 },
    ]);
    const boxes = await chartOf("plt.boxplot([[1, 2, 3, 4, 20], [2, 3, 4]], labels=['p', 'q'])");
    assert.equal(boxes.type, 'box_and_whisker');
    assert.deepEqual((boxes.elements as unknown[])[0], {
      ...{ label: 'p', min: 1, first_quartile: 2, median: 3, third_quartile: 4, max: 4, outliers: [20] },
    });
  });

  it('reads several axes as one chart of charts', async () => {
    const both = await chartOf(
      "f, (a, b) = plt.subplots(1, 2); a.plot([1, 2]); b.bar(['q'], [1]); f.suptitle('S')",
    );
    assert.partialDeepStrictEqual(both, {
      ...{ type: 'superchart', title: 'S', elements: [{ type: 'line' }, { type: 'bar' }] },
    });
  });
}

function contexts(get: () => Sandbox): void {
  it('lists, restarts and removes contexts', async () => {
    const context = await get().createCodeContext({ language: 'python' });
    assert.partialDeepStrictEqual(context, { language: 'python', cwd: '/home/user' });
    assert.ok((await get().listCodeContexts()).some(({ id }) => id === context.id));
    await get().runCode('before = 1', { context });
    await get().restartCodeContext(context);
    assert.equal((await get().runCode('before', { context })).error?.name, 'NameError');
    await get().removeCodeContext(context);
    assert.ok((await get().listCodeContexts()).every(({ id }) => id !== context.id));
    await assert.rejects(get().removeCodeContext(context), NotFoundError);
    await assert.rejects(get().createCodeContext({ language: 'cobol' }), /400/);
  });
}

function languages(get: () => Sandbox): void {
  const cases: readonly [language: string, code: string, text: string | undefined, stdout: string][] = [
    [
      'bash',
      'v=$((40 + 2))\nfor i in 1 2; do echo "$i $GIVEN $OWN"; done',
      undefined,
      '1 at create o\n2 at create o\n',
    ],
    ['javascript', 'const v = 42; console.log(process.env.GIVEN, process.env.OWN); v', '42', 'at create o\n'],
    ['ts', 'const w: number = 42; console.log(require("node:os").EOL.length); w', '42', '1\n'],
    ['r', 'v <- 42\ncat(Sys.getenv("GIVEN"), Sys.getenv("OWN"), "\\n")\nv', '[1] 42', 'at create o \n'],
    [
      'java',
      'int v = 42; System.out.println(System.getenv("GIVEN") + System.getProperty("OWN")); v',
      '42',
      'at createo\n',
    ],
  ];
  for (const [language, code, text, stdout] of cases) {
    it(`runs ${language}`, async () => {
      const ran: Execution = await get().runCode(code, { language, envs: { OWN: 'o' } });
      assert.equal(ran.error, undefined);
      assert.equal(ran.text, text);
      assert.equal(ran.logs.stdout.join(''), stdout);
      const remembered = { bash: 'echo $v', ts: 'w', r: 'v' }[language] ?? 'v';
      const again = await get().runCode(remembered, { language });
      assert.match(again.text ?? again.logs.stdout.join(''), /42/);
    });
  }
}

function interruptions(get: () => Sandbox): void {
  it('interrupts code whose caller gave up, and keeps what was there', async () => {
    await get().runCode('there = 1');
    const endless = get().runCode('while True: pass', { timeoutMs: 700 });
    await assert.rejects(endless, TimeoutError);
    assert.equal((await get().runCode('there')).text, '1');
  });

  it('tells of a kernel that died and starts another', async () => {
    const { error } = await get().runCode('import os; os._exit(1)');
    assert.equal(error?.name, 'UnexpectedEndOfExecution');
    assert.equal((await get().runCode('1 + 1')).text, '2');
  });

  it('restarts a context that is busy', async () => {
    const context = await get().createCodeContext();
    const busy = get().runCode('while True: pass', { context });
    await get().runCode('1');
    await get().restartCodeContext(context);
    assert.equal((await busy).error?.name, 'UnexpectedEndOfExecution');
    assert.equal((await get().runCode('2', { context })).text, '2');
    await get().removeCodeContext(context);
  });
}
