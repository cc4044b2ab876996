/** What E2B's SDKs say that a template is ready by, where an image may lack the program that they name. */

/** `waitForPort` of the newest SDKs, and of those of a year ago: by `ss`, which few images have. */
const portLooks = [/^\[ -n "\$\(ss -Htuln sport = :(\d+)\)" \]$/, /^ss -tuln \| grep :(\d+)$/];

/** The command to run in its place: it reads the kernel's list of sockets, where 0A is one that listens (proc(5)). */
export function readyCommand(asked: string): string {
  const port = portLooks.map((look) => look.exec(asked)?.[1]).find((found) => found !== undefined);
  if (port === undefined) return asked;
  const written = Number(port).toString(16).padStart(4, '0');
  return `grep -qsiE ':${written} [0-9a-f]+:0000 0a ' /proc/net/tcp /proc/net/tcp6`;
}
