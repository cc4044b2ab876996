"""Reads what a sandbox used with E2B's Python SDK, on the live server that the environment names."""

import os
from datetime import datetime, timedelta, timezone

from e2b import Sandbox

at = datetime.fromisoformat(os.environ["AT"].replace("Z", "+00:00"))
second = at.replace(microsecond=0)
whole = Sandbox.get_metrics(os.environ["SANDBOX"])
assert len(whole) > 1, whole
found = Sandbox.get_metrics(os.environ["SANDBOX"], start=second, end=second + timedelta(seconds=1))
assert [one.timestamp.astimezone(timezone.utc) for one in found] == [at], (found, at)
assert found[0].mem_total == 512 * 1024 * 1024
