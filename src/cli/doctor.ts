/** `casemate doctor`: starts a real sandbox in each runtime that it finds and says what works, what doesn't and why. */
import type { Command } from 'commander';
import { defaultDataDir, pathsOf } from '../base/config.ts';
import { examine, type Finding } from '../main.ts';

export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('say what this machine can run, what not, why, and what to do')
    .option(
      '--data-dir <folder>',
      'the data directory to look at',
      process.env.CASEMATE_DATA_DIR ?? defaultDataDir,
    )
    .action(async (flags: { dataDir: string }) => {
      const findings = await examine(pathsOf(flags.dataDir));
      if (program.opts<{ json?: boolean }>().json === true)
        process.stdout.write(`${JSON.stringify({ findings })}\n`);
      else for (const finding of findings) process.stdout.write(line(finding));
      process.exitCode = findings.some((finding) => finding.needed && !finding.works) ? 1 : 0;
    });
}

function line({ works, what, detail, remedy }: Finding): string {
  const mark = works ? 'ok     ' : 'missing';
  return `${mark}  ${what}: ${detail}\n${works || remedy === undefined ? '' : `         → ${remedy}\n`}`;
}
