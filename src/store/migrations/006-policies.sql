-- Egress policies above those of single sandboxes: of a tenant, and of what its sandboxes are made from or for.
CREATE TABLE policies (
  tenant_id TEXT NOT NULL REFERENCES tenants(id),
  level TEXT NOT NULL,
  subject TEXT NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (tenant_id, level, subject)
) STRICT;
