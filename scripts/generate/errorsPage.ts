/** docs/reference/errors.md: the table of errors. */
import { errorTable } from '../../src/base/errors.ts';
import { pageHead, table } from './markdown.ts';

export function errorsPage(): string {
  const rows = Object.entries(errorTable).map(([code, { status, retryable, hint }]) => [
    `\`${code}\``,
    String(status),
    retryable ? 'yes' : 'no',
    hint,
  ]);
  return `${pageHead('Errors', 'src/base/errors.ts')}
Every failure that leaves Casemate carries one of these codes. A code never changes its meaning; new ones may be added.

Over HTTP an error is this body, with the status of the table:

\`\`\`json
{"error": {"code": "not_found", "message": "what happened", "hint": "what to do", "requestId": "names the request in the server's log"}}
\`\`\`

The SDK throws a \`CasemateError\` with \`code\`, \`message\`, \`hint\`, \`status\`, \`requestId\` and \`retryable\`. The CLI prints
\`error [code]: message\` and \`hint: …\` on stderr; under \`--json\` it prints \`{"error": {"code", "message", "hint"}}\`.

"Try again" says whether the same request may succeed later without a change; such answers carry \`Retry-After\`.
The hint is the one of the table unless the call has a better one.

${table(['Code', 'HTTP', 'Try again', 'Hint'], rows)}
`;
}
