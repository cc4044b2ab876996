/** Templates of all tenants, with their names, versions and tags; the layers lie on the node. */
import type { DatabaseSync } from 'node:sqlite';
import type {
  TemplateNameRow,
  TemplateRow,
  TemplateStore,
  TemplateTagRow,
  TemplateVersionRow,
} from './templateTypes.ts';

const columns = 'id, tenant_id AS tenantId, visibility, created_at AS createdAt';

export function templateStore(database: DatabaseSync): TemplateStore {
  const sql = (text: string) => database.prepare(text);
  const insert = sql('INSERT INTO templates (id, tenant_id, visibility, created_at) VALUES (?, ?, ?, ?)');
  const insertName = sql(
    'INSERT INTO template_names (tenant_id, name, template_id, alias) VALUES (?, ?, ?, ?)',
  );
  const byName = sql(
    `SELECT ${columns} FROM templates WHERE id =
       (SELECT template_id FROM template_names WHERE tenant_id = ? AND name = ?)`,
  );
  const putTag = sql(
    'INSERT OR REPLACE INTO template_tags (template_id, tag, version_id, previous) VALUES (?, ?, ?, ?)',
  );
  const insertVersion = sql(
    'INSERT INTO template_versions (id, template_id, number, state, record) VALUES (?, ?, ?, ?, ?)',
  );
  const updateVersion = sql('UPDATE template_versions SET state = ?, record = ? WHERE id = ?');
  const templates = (rows: unknown[]): TemplateRow[] => rows as TemplateRow[];
  return {
    insert: (row, name) =>
      together(database, () => {
        insert.run(row.id, row.tenantId, row.visibility, row.createdAt);
        insertName.run(row.tenantId, name, row.id, 0);
      }),
    find: (id) => templates(sql(`SELECT ${columns} FROM templates WHERE id = ?`).all(id))[0],
    findByName: (tenantId, name) => templates(byName.all(tenantId, name))[0],
    list: (tenantId) =>
      templates(
        tenantId === undefined
          ? sql(`SELECT ${columns} FROM templates ORDER BY created_at, id`).all()
          : sql(`SELECT ${columns} FROM templates WHERE tenant_id = ? ORDER BY created_at, id`).all(tenantId),
      ),
    setVisibility: (id, visibility) =>
      void sql('UPDATE templates SET visibility = ? WHERE id = ?').run(visibility, id),
    remove: (id) =>
      together(database, () => {
        for (const table of ['template_tags', 'template_names', 'template_versions'])
          sql(`DELETE FROM ${table} WHERE template_id = ?`).run(id);
        sql('DELETE FROM templates WHERE id = ?').run(id);
      }),
    names: (id) =>
      sql('SELECT name, alias FROM template_names WHERE template_id = ? ORDER BY alias, name')
        .all(id)
        .map((row): TemplateNameRow => ({ name: String(row.name), alias: row.alias === 1 })),
    addAlias: (tenantId, name, templateId) => void insertName.run(tenantId, name, templateId, 1),
    removeAlias: (tenantId, name) =>
      void sql('DELETE FROM template_names WHERE tenant_id = ? AND name = ? AND alias = 1').run(
        tenantId,
        name,
      ),
    insertVersion: (row) =>
      void insertVersion.run(row.id, row.templateId, row.number, row.state, JSON.stringify(row)),
    updateVersion: (row) => void updateVersion.run(row.state, JSON.stringify(row), row.id),
    removeVersion: (id) => void sql('DELETE FROM template_versions WHERE id = ?').run(id),
    version: (id) => versions(sql('SELECT record FROM template_versions WHERE id = ?').all(id))[0],
    versions: (templateId) =>
      versions(
        sql('SELECT record FROM template_versions WHERE template_id = ? ORDER BY number DESC').all(
          templateId,
        ),
      ),
    versionsInState: (state) =>
      versions(sql('SELECT record FROM template_versions WHERE state = ?').all(state)),
    nextNumber: (templateId) => {
      const row = sql('SELECT max(number) AS last FROM template_versions WHERE template_id = ?').get(
        templateId,
      );
      return Number(row?.last ?? 0) + 1;
    },
    tag: (templateId, tag) =>
      tags(sql('SELECT * FROM template_tags WHERE template_id = ? AND tag = ?').all(templateId, tag))[0],
    tags: (templateId) =>
      tags(sql('SELECT * FROM template_tags WHERE template_id = ? ORDER BY tag').all(templateId)),
    putTag: (row) => void putTag.run(row.templateId, row.tag, row.versionId, JSON.stringify(row.previous)),
    removeTag: (templateId, tag) =>
      void sql('DELETE FROM template_tags WHERE template_id = ? AND tag = ?').run(templateId, tag),
  };
}

function together(database: DatabaseSync, work: () => void): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    work();
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}

function versions(rows: Record<string, unknown>[]): TemplateVersionRow[] {
  return rows.map((row) => JSON.parse(String(row.record)) as TemplateVersionRow);
}

function tags(rows: Record<string, unknown>[]): TemplateTagRow[] {
  return rows.map((row) => ({
    templateId: String(row.template_id),
    tag: String(row.tag),
    versionId: String(row.version_id),
    previous: JSON.parse(String(row.previous)) as string[],
  }));
}
