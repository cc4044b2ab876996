CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE keys (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  secret_sha256 TEXT NOT NULL UNIQUE,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE sandboxes (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  -- Scopes that later features fill.
  workspace_id TEXT,
  function_id TEXT,
  state TEXT NOT NULL,
  created_at TEXT NOT NULL,
  -- Everything else that the API shows, as JSON: nothing is queried by it but metadata and labels.
  record TEXT NOT NULL
) STRICT;
CREATE INDEX sandboxes_by_tenant ON sandboxes (tenant_id, created_at DESC, id DESC);
CREATE INDEX sandboxes_by_state ON sandboxes (state);

CREATE TABLE idempotency (
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  key TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  sandbox_id TEXT,
  created_at TEXT NOT NULL,
  PRIMARY KEY (tenant_id, key)
) STRICT;

CREATE TABLE pools (
  template TEXT NOT NULL,
  runtime TEXT NOT NULL,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  size INTEGER NOT NULL,
  PRIMARY KEY (template, runtime)
) STRICT;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  sandbox_id TEXT,
  detail TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_tenant ON audit (tenant_id, seq DESC);
CREATE INDEX audit_by_sandbox ON audit (sandbox_id, seq DESC);
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;
