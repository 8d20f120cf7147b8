"""the Domain's transparency log, and its witnesses' copies, of which nobody changes or removes an entry; what was
appraised of sessions"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_COPY, _SAID = "key_host_log_copy", "entries of a log that was witnessed"


def upgrade() -> None:
    op.create_table(
        "confidential_log",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_confidential_log")),
    )
    with op.batch_alter_table("confidential_log", schema=None) as batch_op:
        batch_op.create_index("ix_confidential_log_subject", ["subject", "kind"], unique=False)
    op.create_table(
        "confidential_log_head",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_confidential_log_head")),
    )
    op.create_table(
        "confidential_log_witness",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", "host", name=op.f("pk_confidential_log_witness")),
    )
    op.create_table(
        _COPY,
        sa.Column("log", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "sequence", name=op.f("pk_key_host_log_copy")),
    )
    op.create_table(
        "key_host_witnessed",
        sa.Column("log", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("conflict", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("log", name=op.f("pk_key_host_witnessed")),
    )
    op.create_table(
        "key_host_session",
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_key_host_session")),
    )
    with op.batch_alter_table("key_host_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_host_session_until"), ["until"], unique=False)
    _protect()


def _protect() -> None:
    refuse = f"{_SAID} are never changed or removed"
    if op.get_bind().dialect.name == "sqlite":
        same = f"SELECT 1 FROM {_COPY} WHERE log = NEW.log AND sequence = NEW.sequence"  # noqa: S608
        for name, when in (
            ("no_update", f"BEFORE UPDATE ON {_COPY}"),
            ("no_delete", f"BEFORE DELETE ON {_COPY}"),
            # INSERT OR REPLACE deletes without asking the trigger above.
            ("no_replace", f"BEFORE INSERT ON {_COPY} WHEN EXISTS ({same})"),
        ):
            op.execute(f"CREATE TRIGGER {_COPY}_{name} {when} BEGIN SELECT RAISE(ABORT, '{refuse}'); END")
        return
    op.execute(
        f"CREATE FUNCTION {_COPY}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{refuse}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {_COPY}_no_change BEFORE UPDATE OR DELETE ON {_COPY} "
        f"FOR EACH ROW EXECUTE FUNCTION {_COPY}_refuse()"
    )
    op.execute(
        f"CREATE TRIGGER {_COPY}_no_truncate BEFORE TRUNCATE ON {_COPY} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {_COPY}_refuse()"
    )


def downgrade() -> None:
    for table in (
        *("key_host_witnessed", _COPY, "confidential_log_witness", "confidential_log_head"),
        *("confidential_log", "key_host_session"),
    ):
        op.drop_table(table)  # its triggers go with it
    if op.get_bind().dialect.name != "sqlite":
        op.execute(f"DROP FUNCTION {_COPY}_refuse()")
