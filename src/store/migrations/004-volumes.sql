CREATE TABLE volumes (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at TEXT NOT NULL,
  -- Everything else that the API shows, as JSON.
  record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX volumes_by_name ON volumes (tenant_id, name);
