"""governance: requests to run plans and for budgets, standing rules, the policy of each cycle"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("epsilon", "given"):
        op.add_column("request", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("request_decision", sa.Column("epsilon", sa.BigInteger(), nullable=True))
    op.add_column("request_decision", sa.Column("rule_id", sa.String(length=32), nullable=True))
    op.create_table(
        "request_object",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["request.id"],
            name=op.f("fk_request_object_request_id_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "object_id", name=op.f("pk_request_object")),
    )
    op.create_index(op.f("ix_request_object_object_id"), "request_object", ["object_id"])
    # Requests that were made before this revision are for one object each.
    op.execute("INSERT INTO request_object (request_id, object_id) SELECT id, object_id FROM request")
    _create_plan_requests()
    _create_rules()
    op.create_table(
        "fl_cycle_policy",
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["fl_cycle.id"], name=op.f("fk_fl_cycle_policy_cycle_id_fl_cycle")
        ),
        sa.PrimaryKeyConstraint("cycle_id", name=op.f("pk_fl_cycle_policy")),
    )


def _create_plan_requests() -> None:
    op.create_table(
        "plan_request",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("plan_digest", sa.String(length=64), nullable=False),
        sa.Column("values_digest", sa.String(length=64), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["request.id"],
            name=op.f("fk_plan_request_request_id_request"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["plan_digest"], ["blob.digest"], name=op.f("fk_plan_request_plan_digest_blob")
        ),
        sa.ForeignKeyConstraint(
            ["values_digest"], ["blob.digest"], name=op.f("fk_plan_request_values_digest_blob")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_plan_request")),
    )
    for column in ("name", "plan_digest", "values_digest"):
        op.create_index(op.f(f"ix_plan_request_{column}"), "plan_request", [column])


def _create_rules() -> None:
    op.create_table(
        "request_rule",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("author_id", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("plan_id", sa.String(length=64), nullable=False),
        sa.Column("times_left", sa.Integer(), nullable=True),
        sa.Column("elements_left", sa.BigInteger(), nullable=True),
        sa.Column("expires_in", sa.Double(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=True),
        sa.Column("max_output_bytes", sa.BigInteger(), nullable=True),
        sa.Column("epsilon", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["author_id"],
            ["users.id"],
            name=op.f("fk_request_rule_author_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_rule")),
    )
    op.create_index(op.f("ix_request_rule_author_id"), "request_rule", ["author_id"])


def downgrade() -> None:
    for table in ("fl_cycle_policy", "request_rule", "plan_request", "request_object"):
        op.drop_table(table)
    # Earlier versions know requests for an object only.
    op.execute("DELETE FROM request WHERE scope IN ('plan', 'budget')")
    for table, columns in (("request_decision", ("rule_id", "epsilon")), ("request", ("given", "epsilon"))):
        with op.batch_alter_table(table) as batch_op:
            for column in columns:
                batch_op.drop_column(column)
