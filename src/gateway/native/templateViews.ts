/** How versions of templates look on the wire. */
import type { Static } from '@sinclair/typebox';
import type * as shapes from '../../../schema/templates.ts';
import type { TemplateDetail, VersionInfo } from '../../control/templates/describe.ts';

/** Without what only the node knows by: layers and digests. */
export function versionView(version: VersionInfo): Static<typeof shapes.Version> {
  const { id, number, state, createdAt, finishedAt, source, tags, bytes, error, config } = version;
  const { healthcheck: _health, entrypoint, cmd, ports, ...shown } = config ?? { ports: undefined };
  return {
    buildId: id,
    number,
    state,
    createdAt,
    source,
    tags: [...tags],
    ...(finishedAt === undefined ? {} : { finishedAt }),
    ...(bytes === undefined ? {} : { bytes }),
    ...(error === undefined ? {} : { error }),
    ...shown,
    ...(entrypoint === undefined ? {} : { entrypoint: [...entrypoint] }),
    ...(cmd === undefined ? {} : { cmd: [...cmd] }),
    ...(ports === undefined ? {} : { ports: [...ports] }),
  };
}

export function templateView({
  versions,
  aliases,
  ...shown
}: TemplateDetail): Static<typeof shapes.TemplateDetail> {
  return { ...shown, aliases: [...aliases], versions: versions.map(versionView) };
}
