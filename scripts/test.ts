/** Runs the tests: unit tests side by side, system tests one file after the other; then says what was skipped and why. */
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const separator = process.argv.indexOf('--');
const unit = process.argv.slice(2, separator);
const system = process.argv.slice(separator + 1);
const skipped: string[] = [];
const totals = { tests: 0, passed: 0, failed: 0 };

async function runFiles(files: readonly string[], concurrency: number): Promise<void> {
  if (files.length === 0) return;
  const events = run({
    files: [...files],
    concurrency,
    timeout: 20 * 60_000,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  events.on('test:pass', ({ name, skip, details }) => {
    // A suite that is skipped reports none of its tests.
    if (details.type === 'suite') {
      if (typeof skip === 'string') skipped.push(`${name}: ${skip}`);
      return;
    }
    totals.tests += 1;
    if (skip === undefined || skip === false) totals.passed += 1;
    else skipped.push(`${name}: ${skip === true ? 'no reason given' : skip}`);
  });
  events.on('test:fail', ({ details }) => {
    if (details.type === 'suite') return;
    totals.tests += 1;
    totals.failed += 1;
  });
  const shown = events.compose(spec);
  shown.pipe(process.stdout, { end: false });
  await new Promise((resolve) => shown.once('end', resolve));
}

const from = performance.now();
await runFiles(unit, 2);
await runFiles(system, 1);
console.log(`\nSkipped: ${skipped.length}`);
for (const line of skipped) console.log(`  ${line}`);
console.log(`Took ${((performance.now() - from) / 1000).toFixed(0)} s\n`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${skipped.length} skipped`);
process.exit(totals.failed > 0 || totals.tests === 0 ? 1 : 0);
