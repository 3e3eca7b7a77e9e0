"""List prices of what `shared/domain/prices.py` has no entry for, because no stage estimates it: stores and network.

A source is the place a figure was read at; `MEMORY` says that no copy of Google's page with it was found. None was read
on a live page. Regional, as in europe-west1; free tiers are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

EXAMPLES = "https://cloud.google.com/storage/pricing-examples, a stored copy, read 2026-11-21"
STORAGE_PAGE = "https://cloud.google.com/storage/pricing, a stored copy, read 2026-11-21"
QUOTED = "airbyte.com/data-engineering-resources/google-firestore-pricing, which quotes Google's page, read 2026-11-21"
MEMORY = "from memory: no copy of Google's page with this figure was found"


@dataclass(frozen=True)
class ListPrice:
    """`usd` for one `unit`."""

    usd: float
    unit: str
    source: str


DOCUMENT_READS = ListPrice(0.03, "100,000 documents read", QUOTED)
DOCUMENT_WRITES = ListPrice(0.09, "100,000 documents written", QUOTED)
DOCUMENT_DELETES = ListPrice(0.01, "100,000 documents deleted", MEMORY)
DOCUMENT_STORAGE = ListPrice(0.15, "GiB of documents and indexes a month", MEMORY)
BACKUP_STORAGE = ListPrice(0.03, "GiB of backups a month", MEMORY)
OBJECT_STORAGE = ListPrice(0.020, "GB of objects a month, standard class, europe-west1", STORAGE_PAGE)
CLASS_A = ListPrice(0.005, "1,000 operations of class A", EXAMPLES)
CLASS_B = ListPrice(0.0004, "1,000 operations of class B", EXAMPLES)
EGRESS = ListPrice(0.12, "GB to the internet", EXAMPLES)
MESSAGES = ListPrice(40.0, "TiB published and delivered, each message at least 1 KB", MEMORY)
FORWARDING_RULES = ListPrice(0.025, "hour of up to five forwarding rules", MEMORY)
BALANCED = ListPrice(0.008, "GB through the load balancer", MEMORY)
ARMOR_POLICY = ListPrice(5.0, "policy a month", MEMORY)
ARMOR_RULE = ListPrice(1.0, "rule a month", MEMORY)
ARMOR_REQUESTS = ListPrice(0.75, "million requests through a policy", MEMORY)
LOGS = ListPrice(0.50, "GiB of logs", MEMORY)
SCHEDULED_JOB = ListPrice(0.10, "scheduled job a month", MEMORY)
TASKS = ListPrice(0.40, "million tasks", MEMORY)
SECRET_VERSION = ListPrice(0.06, "secret version a month", MEMORY)
