CREATE TABLE templates (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  -- `private`, or `public` for all tenants of the server.
  visibility TEXT NOT NULL,
  created_at TEXT NOT NULL
) STRICT;

-- The first name of a template, and its aliases.
CREATE TABLE template_names (
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  name TEXT NOT NULL,
  template_id TEXT NOT NULL REFERENCES templates(id),
  alias INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, name)
) STRICT;
CREATE INDEX template_names_by_template ON template_names (template_id);

CREATE TABLE template_versions (
  id TEXT PRIMARY KEY,
  template_id TEXT NOT NULL REFERENCES templates(id),
  number INTEGER NOT NULL,
  state TEXT NOT NULL,
  -- Everything else that the API shows, as JSON.
  record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX template_versions_by_number ON template_versions (template_id, number);
CREATE INDEX template_versions_by_state ON template_versions (state);

CREATE TABLE template_tags (
  template_id TEXT NOT NULL REFERENCES templates(id),
  tag TEXT NOT NULL,
  version_id TEXT NOT NULL REFERENCES template_versions(id),
  -- Versions that it pointed at before, the last first, as JSON.
  previous TEXT NOT NULL,
  PRIMARY KEY (template_id, tag)
) STRICT;
