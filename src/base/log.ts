/** Structured log lines on stderr, one JSON object each; never given a value that a sandbox sent unescaped. */

export type LogFields = Record<string, string | number | boolean | undefined>;

export interface Log {
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

/** A log whose lines all carry `fields`. JSON escaping keeps control bytes of hostile text out of terminals. */
export function createLog(
  fields: LogFields,
  write: (line: string) => void = (l) => process.stderr.write(l),
): Log {
  const emit = (level: string, event: string, more: LogFields = {}): void => {
    write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields, ...more })}\n`);
  };
  return {
    info: (event, more) => emit('info', event, more),
    warn: (event, more) => emit('warn', event, more),
    error: (event, more) => emit('error', event, more),
  };
}
