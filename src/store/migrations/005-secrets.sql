CREATE TABLE secrets (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  -- Scopes that later features fill; the narrowest that has the name counts.
  workspace_id TEXT,
  function_id TEXT,
  name TEXT NOT NULL,
  -- Everything else that the API shows, as JSON.
  record TEXT NOT NULL,
  -- Which key the value is sealed with, and the value: never in the clear.
  key_id TEXT NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX secrets_by_name
  ON secrets (tenant_id, ifnull(workspace_id, ''), ifnull(function_id, ''), name);
