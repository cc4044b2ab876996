/** `casemate volume export` and `import`: a volume's files as objects of a store that speaks S3, from this machine. */
import type { Command } from 'commander';
import type { Volume } from '../../sdk/typescript/src/index.ts';
import { clientOf } from './connection.ts';
import { number } from './createFlags.ts';
import { printOne } from './print.ts';
import { Bucket } from './s3/bucket.ts';
import { exportVolume } from './s3/export.ts';
import { importVolume } from './s3/import.ts';
import { getManifest } from './s3/manifest.ts';
import { Progress } from './s3/progress.ts';

interface StoreFlags {
  endpoint?: string;
  region?: string;
}

export function volumeObjectCommands(program: Command, volume: Command): void {
  const stored = (command: Command): Command =>
    command
      .option('--endpoint <url>', 'of a store that is not Amazon’s')
      .option('--region <name>', 'AWS_REGION or us-east-1 by default');
  stored(volume.command('export'))
    .description('write a volume as it is now to a bucket of S3: one object a file, and a manifest')
    .argument('<volume>', 'id or name')
    .argument('<url>', 's3://<bucket>/<prefix>')
    .action(async (name: string, url: string, flags: StoreFlags) => {
      const source = await clientOf(program).volumes.get(name);
      await withBucket(program, { url, ...flags }, async (bucket, progress) => {
        await exportVolume(source, bucket, progress);
        return { volume: source.name, url };
      });
    });
  stored(volume.command('import'))
    .description('create a volume from a bucket of S3; nothing is left where an object is another one')
    .argument('<url>', 's3://<bucket>/<prefix>')
    .argument('<name>', 'of the new volume')
    .option('--quota <mib>', 'size, MiB; what was exported had, or 1024', number)
    .option('--inodes <n>', 'files and folders; what was exported had, or 64 for each MiB', number)
    .action(async (url: string, name: string, flags: StoreFlags & { quota?: number; inodes?: number }) => {
      await withBucket(program, { url, ...flags }, async (bucket, progress) => {
        const manifest = await getManifest(bucket);
        const quotaMib = flags.quota ?? manifest?.quotaMib;
        const quotaInodes = flags.inodes ?? manifest?.quotaInodes;
        const made = await clientOf(program).volumes.create({
          name,
          ...(quotaMib === undefined ? {} : { quotaMib }),
          ...(quotaInodes === undefined ? {} : { quotaInodes }),
        });
        await orNothing(made, () => importVolume({ volume: made, bucket, manifest, progress }));
        return { volume: name, url, checked: manifest === undefined ? 'sizes' : 'sizes and SHA-256' };
      });
    });
}

async function withBucket(
  program: Command,
  store: StoreFlags & { url: string },
  work: (bucket: Bucket, progress: Progress) => Promise<object>,
): Promise<void> {
  const bucket = await Bucket.open(store);
  const progress = new Progress(program);
  try {
    const done = await work(bucket, progress).finally(() => progress.end());
    const { files, bytes } = progress;
    printOne(program, { type: 'done', ...done, files, bytes }, progress.text());
  } finally {
    bucket.close();
  }
}

async function orNothing(volume: Volume, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await volume.remove();
    throw error;
  }
}
