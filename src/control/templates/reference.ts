/** Names of templates as people write them: `web`, `web:v2`, `othertenant/web:v2`. */
import { CasemateError } from '../../base/errors.ts';

export interface TemplateReference {
  /** Of another tenant, whose template has to be public. */
  readonly tenantId?: string;
  readonly name: string;
  readonly tag: string;
}

export const defaultTag = 'latest';
export const referencePattern =
  '^(?:[a-z0-9][a-z0-9-]{0,62}/)?[a-z0-9][a-z0-9_-]{0,62}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,62})?$';

const parts = /^(?:([a-z0-9-]+)\/)?([a-z0-9_-]+)(?::([A-Za-z0-9_.-]+))?$/;

/** @throws CasemateError `invalid_request` */
export function parseReference(text: string): TemplateReference {
  const [, tenantId, name, tag] = new RegExp(referencePattern).test(text) ? (parts.exec(text) ?? []) : [];
  if (name === undefined)
    throw new CasemateError('invalid_request', `A template is written [tenant/]name[:tag], not "${text}".`);
  return { name, tag: tag ?? defaultTag, ...(tenantId === undefined ? {} : { tenantId }) };
}
