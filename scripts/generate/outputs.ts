/** Every generated file of the repository with the text that it has to have. */
import { readFileSync } from 'node:fs';
import { cliPage } from './cliPage.ts';
import { configPage } from './configPage.ts';
import { errorsPage } from './errorsPage.ts';
import { httpPage } from './httpPage.ts';
import { limitsPage } from './limitsPage.ts';
import { type Protocol, protocolGo, protocolTypescript } from './protocol.ts';
import { generatedServices } from './services.ts';

export const repository = new URL('../../', import.meta.url);

/** Path from the repository's root → text. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const schema = readFileSync(new URL('schema/guest-protocol.json', repository), 'utf8');
  const protocol = JSON.parse(schema) as Protocol;
  return new Map([
    ['src/guest/protocol.gen.ts', protocolTypescript(protocol)],
    ['guest-agent/protocol_gen.go', protocolGo(protocol)],
    ...generatedServices(),
    ['docs/reference/errors.md', errorsPage()],
    ['docs/reference/limits.md', limitsPage()],
    ['docs/reference/config.md', configPage()],
    ['docs/reference/cli.md', cliPage()],
    ['docs/reference/http-api.md', httpPage()],
  ]);
}
