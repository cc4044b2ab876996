-- Layers and caches of builds, and whose builds used them last: what lies on the node's disk has an owner.
CREATE TABLE build_files (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  used_at TEXT NOT NULL,
  PRIMARY KEY (kind, id, tenant_id)
) STRICT;
