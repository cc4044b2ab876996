/** Text that a sandbox may have chosen, made fit for a terminal. */

/** Takes control characters out of text that a sandbox may have chosen, so that it cannot steer a terminal. */
export function harmless(text: string): string {
  return [...text].map((character) => (isControl(character.codePointAt(0) ?? 0) ? '�' : character)).join('');
}

/** Controls of C0 and C1, and the marks that turn the direction of the text around them. */
function isControl(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code < 0xa0) ||
    (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

/** The same for output of several lines: line ends and tabs stay. */
export function harmlessLines(text: string): string {
  return text
    .split(/([\n\t])/)
    .map((part, index) => (index % 2 === 1 ? part : harmless(part)))
    .join('');
}

/** JSON in one line; what JSON leaves unescaped and a terminal might obey is escaped, so that nothing is lost. */
export function jsonLine(value: unknown): string {
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `${JSON.stringify(value).replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, escaped)}\n`;
}
