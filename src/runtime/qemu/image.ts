/** Makes a template's directory into one read-only disk image, once; every machine of the template shares it. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { newId } from '../../base/ids.ts';

export interface RootImage {
  readonly file: string;
  readonly bytes: number;
  /** SHA-256 of the image: what a snapshot has to find again. */
  readonly digest: string;
}

/** EROFS without compression: the host's page cache holds one copy for all, and reading it costs the guest no processor. */
export async function makeRootImage(cacheDir: string, templateRoot: string): Promise<RootImage> {
  // A template that is built again under the same name is another directory.
  const { ino, ctimeMs } = await stat(templateRoot);
  const key = createHash('sha256').update(`${templateRoot}|${ino}|${ctimeMs}`).digest('hex').slice(0, 32);
  const folder = join(cacheDir, 'images');
  const file = join(folder, `${key}.erofs`);
  const record = join(folder, `${key}.json`);
  const known = await readFile(record, 'utf8').catch(() => undefined);
  if (known !== undefined) return JSON.parse(known) as RootImage;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const partial = join(folder, `${key}.${newId(8)}.partial`);
  try {
    await runCommand(['mkfs.erofs', '-x1', partial, templateRoot], { timeoutMs: 300_000 });
    const { stdout } = await runCommand(['sha256sum', partial], { timeoutMs: 120_000 });
    const image = { file, bytes: (await stat(partial)).size, digest: stdout.slice(0, 64) };
    await rename(partial, file);
    await writeFile(`${record}.new`, JSON.stringify(image), { mode: 0o600 });
    await rename(`${record}.new`, record);
    return image;
  } finally {
    await rm(partial, { force: true });
  }
}
