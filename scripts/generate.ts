/** Writes every generated file (protocol constants, reference pages); `--check` only compares. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { generatedFiles, repository } from './generate/outputs.ts';

for (const [file, text] of generatedFiles()) {
  const url = new URL(file, repository);
  if (!process.argv.includes('--check')) {
    mkdirSync(new URL('.', url), { recursive: true });
    writeFileSync(url, text);
  } else if (!existsSync(url) || readFileSync(url, 'utf8') !== text) {
    console.error(`${file} is stale: run \`npm run generate\``);
    process.exitCode = 1;
  }
}
