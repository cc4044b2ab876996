-- Tenants, keys, sandboxes, idempotency keys, pools and the audit log. Times are milliseconds since 1970.

CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  createdAt INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
  id TEXT PRIMARY KEY,
  tenantId TEXT NOT NULL REFERENCES tenants (id),
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  secretHash TEXT NOT NULL UNIQUE,
  createdAt INTEGER NOT NULL
) STRICT;
CREATE INDEX keysByTenant ON keys (tenantId, createdAt, id);

CREATE TABLE sandboxes (
  id TEXT PRIMARY KEY,
  tenantId TEXT NOT NULL REFERENCES tenants (id),
  workspaceId TEXT,
  functionId TEXT,
  template TEXT NOT NULL,
  runtime TEXT NOT NULL,
  isolation TEXT,
  source TEXT,
  state TEXT NOT NULL,
  endReason TEXT,
  createdAt INTEGER NOT NULL,
  startedAt INTEGER,
  endsAt INTEGER NOT NULL,
  endedAt INTEGER,
  idleTimeoutMs INTEGER,
  metadata TEXT NOT NULL,
  labels TEXT NOT NULL,
  limits TEXT NOT NULL,
  user TEXT NOT NULL,
  hostname TEXT NOT NULL
) STRICT;
CREATE INDEX sandboxesByTenant ON sandboxes (tenantId, createdAt DESC, id DESC);
CREATE INDEX sandboxesByAge ON sandboxes (createdAt DESC, id DESC);
CREATE INDEX sandboxesNotEnded ON sandboxes (tenantId, createdAt DESC, id DESC) WHERE state <> 'ended';

CREATE TABLE idempotency (
  tenantId TEXT NOT NULL REFERENCES tenants (id),
  key TEXT NOT NULL,
  bodyHash TEXT NOT NULL,
  sandboxId TEXT NOT NULL REFERENCES sandboxes (id),
  createdAt INTEGER NOT NULL,
  PRIMARY KEY (tenantId, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotencyBySandbox ON idempotency (sandboxId);

CREATE TABLE pools (
  template TEXT NOT NULL,
  runtime TEXT NOT NULL,
  tenantId TEXT NOT NULL REFERENCES tenants (id),
  size INTEGER NOT NULL,
  PRIMARY KEY (template, runtime)
) STRICT, WITHOUT ROWID;

-- No reference to tenants: a refused call may belong to nobody, and the log outlives all that it speaks of.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  tenantId TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  sandboxId TEXT,
  detail TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;
CREATE INDEX auditByTenant ON audit (tenantId, seq);
CREATE INDEX auditBySandbox ON audit (sandboxId, seq);

CREATE TRIGGER auditKeepsEvents BEFORE DELETE ON audit BEGIN
  SELECT RAISE (ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER auditKeepsText BEFORE UPDATE ON audit BEGIN
  SELECT RAISE (ABORT, 'the audit log is append-only');
END;
