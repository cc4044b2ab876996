/** Keeps this machine's own settings out of generated pages. */

/** Runs `work` as on a machine where no variable of Casemate is set. */
export function withoutSettings<Result>(work: () => Result): Result {
  const own = Object.entries(process.env).filter(([name]) => name.startsWith('CASEMATE_'));
  for (const [name] of own) delete process.env[name];
  try {
    return work();
  } finally {
    for (const [name, value] of own) process.env[name] = value;
  }
}
