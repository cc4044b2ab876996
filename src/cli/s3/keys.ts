/** Which names objects and files may have: a key is a path relative to a prefix, and leads nowhere else on either side. */
import { CasemateError } from '../../../sdk/typescript/src/index.ts';

/** S3's own bound. */
const keyBytesMax = 1024;
const nameBytesMax = 255;
/** The object that says what was exported; no file may have its name. */
export const manifestName = '.casemate-export.json';

/** Why a path can be no key, or a key no path; undefined where it can. */
export function faultOf(path: string): string | undefined {
  const parts = path.split('/');
  if (path.startsWith('/')) return 'it begins with a slash';
  if (parts.includes('')) return 'it has an empty part';
  if (parts.some((part) => part === '.' || part === '..')) return 'it has a part that is "." or ".."';
  if (parts.some((part) => Buffer.byteLength(part) > nameBytesMax))
    return `a part has more than ${nameBytesMax} bytes`;
  // Keys come and go in XML, which has no such characters.
  if (/[\p{Cc}\ufffd-\uffff]/u.test(path) || !path.isWellFormed())
    return 'it has control characters, or is no UTF-8';
  if (path === manifestName) return 'the manifest has this name';
  return undefined;
}

/** @throws CasemateError `file_invalid`, where another tool has to be used for the volume */
export function keyOf(prefix: string, path: string): string {
  const key = `${prefix}${path}`;
  const fault =
    faultOf(path) ??
    (Buffer.byteLength(key) > keyBytesMax ? `its key has more than ${keyBytesMax} bytes` : undefined);
  if (fault === undefined) return key;
  throw new CasemateError('file_invalid', `${path} cannot be an object: ${fault}.`, {
    hint: '`casemate volume backup` takes files of any name.',
  });
}

/** The path of an object in the volume. @throws CasemateError `file_invalid` */
export function pathOf(prefix: string, key: string): string {
  const path = key.slice(prefix.length);
  const fault = key.startsWith(prefix) ? faultOf(path) : 'it is not below the prefix';
  if (fault === undefined) return path;
  throw new CasemateError('file_invalid', `The object ${key} cannot be a file of a volume: ${fault}.`);
}
