"""The tables of the ledger."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = 4
"""The version of these tables. ``migrations`` brings an older ledger to it; a newer one is refused."""

VERSION_KEY = "schema_version"
"""The row of ``lanewise_meta`` that holds it."""

metadata = MetaData()

# SQLite only counts up by itself on INTEGER primary keys; PostgreSQL needs 64 bits.
_Id = BigInteger().with_variant(Integer, "sqlite")

meta = Table("lanewise_meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text))

studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("declaration", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    # the facts, see ``facts.StudyFacts``; NULL where nothing was recorded
    Column("uid", String(64)),
    Column("versions", Text),
    Column("model", Text),
    Column("data", Text),
    Column("prepared", Text),
    Column("lanes", Integer),
    Column("lane_modes", Text),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("ending", String(64)),
)

trials = Table(
    "trials",
    metadata,
    Column("study_id", ForeignKey("studies.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("params", Text, nullable=False),
    Column("config_hash", String(16), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("sampler_attrs", Text, nullable=False),
    Column("repeats", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stop_reason", String(32)),
    Column("message", Text),
    Column("traceback", Text),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("revision", BigInteger, nullable=False),
    Index("trials_by_revision", "study_id", "revision"),
)

epochs = Table(
    "epochs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("metrics", Text, nullable=False),
    UniqueConstraint("study_id", "number", "epoch"),
)

audit_epochs = Table(
    "audit_epochs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("metrics", Text, nullable=False),
    UniqueConstraint("study_id", "number", "epoch"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("action", String(16), nullable=False),
    Column("value", Float),
    Column("cutoff", Float),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("at", Float, nullable=False),
    Column("level", String(8), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("number", Integer),
    Column("data", Text, nullable=False, server_default="{}"),
)

fits = Table(
    "fits",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("number", Integer),
    Column("config_hash", String(16), nullable=False),
    Column("params", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("split", Integer, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stop_reason", String(32)),
    Column("message", Text),
    Column("metrics", Text, nullable=False),
    Column("seconds", Float),
    Column("train_examples", Integer, nullable=False),
    Column("scored_examples", Integer, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    UniqueConstraint("study_id", "role", "config_hash", "split"),
)
