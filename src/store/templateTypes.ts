/** Templates that tenants build: one has names, versions, and tags that point at versions. */

export type TemplateVisibility = 'private' | 'public';

export interface TemplateRow {
  readonly id: string;
  readonly tenantId: string;
  readonly visibility: TemplateVisibility;
  readonly createdAt: string;
}

export interface StartCommand {
  /** Run by a shell, as the template's user, when a sandbox is made. */
  readonly command: string;
  /** Run again and again until it ends with 0; the sandbox is handed out then. */
  readonly ready?: string;
  readonly readyTimeoutMs?: number;
}

/** What programs of a sandbox find, out of the image's own configuration. */
export interface TemplateConfig {
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workdir?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly healthcheck?: string;
  readonly start?: StartCommand;
  /** What its sandboxes get that ask for none. */
  readonly limits?: { readonly cpus?: number; readonly memoryMib?: number };
}

export interface TemplateVersionRow {
  readonly id: string;
  readonly templateId: string;
  readonly tenantId: string;
  /** Counts from 1. */
  readonly number: number;
  readonly state: 'building' | 'ready' | 'failed';
  readonly createdAt: string;
  readonly finishedAt?: string;
  /** What it was built from, in words. */
  readonly source: string;
  /** Of a ready one: the digest of its layers, and its size on disk where none is shared. */
  readonly digest?: string;
  readonly layers?: readonly string[];
  readonly bytes?: number;
  readonly config?: TemplateConfig;
  /** Of a failed one. */
  readonly error?: string;
}

export interface TemplateTagRow {
  readonly templateId: string;
  readonly tag: string;
  readonly versionId: string;
  /** Versions that it pointed at before, the last first. */
  readonly previous: readonly string[];
}

export interface TemplateNameRow {
  readonly name: string;
  readonly alias: boolean;
}

export interface TemplateStore {
  insert(row: TemplateRow, name: string): void;
  find(id: string): TemplateRow | undefined;
  findByName(tenantId: string, name: string): TemplateRow | undefined;
  /** Of one tenant, or of all of them. */
  list(tenantId?: string): readonly TemplateRow[];
  setVisibility(id: string, visibility: TemplateVisibility): void;
  /** With its names, versions and tags. */
  remove(id: string): void;
  /** The first name first. */
  names(id: string): readonly TemplateNameRow[];
  addAlias(tenantId: string, name: string, templateId: string): void;
  removeAlias(tenantId: string, name: string): void;
  insertVersion(row: TemplateVersionRow): void;
  updateVersion(row: TemplateVersionRow): void;
  removeVersion(id: string): void;
  version(id: string): TemplateVersionRow | undefined;
  /** The newest first. */
  versions(templateId: string): readonly TemplateVersionRow[];
  versionsInState(state: TemplateVersionRow['state']): readonly TemplateVersionRow[];
  nextNumber(templateId: string): number;
  tag(templateId: string, tag: string): TemplateTagRow | undefined;
  tags(templateId: string): readonly TemplateTagRow[];
  /** Points it there, in one step. */
  putTag(row: TemplateTagRow): void;
  removeTag(templateId: string, tag: string): void;
}
