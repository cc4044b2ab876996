CREATE TABLE snapshots (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  name TEXT,
  created_at TEXT NOT NULL,
  expires_at TEXT,
  -- Everything else that the API shows, as JSON.
  record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX snapshots_by_name ON snapshots (tenant_id, name);
CREATE INDEX snapshots_by_tenant ON snapshots (tenant_id, created_at DESC, id DESC);
