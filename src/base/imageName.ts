/** How the node names a version of a tenant's template: by its digest, in a form that no user's name has. */

const prefix = 'image-';
const digitsKept = 40;

export function imageName(digest: string): string {
  return `${prefix}${digest.slice(0, digitsKept)}`;
}

/** True for names that are Casemate's own: nobody may ask for one. */
export function isImageName(name: string): boolean {
  return name.startsWith(prefix);
}

/** Which of these digests a name is of. */
export function imageDigest(name: string, digests: readonly string[]): string | undefined {
  return isImageName(name) ? digests.find((digest) => imageName(digest) === name) : undefined;
}
