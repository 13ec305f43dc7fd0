"""Encryption at rest: rows are found by keyed hashes, because what they hold may be sealed."""

import hmac
import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_bytes

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# table, column, kind of hash, index without its last part, further columns of the index
SOUGHT = (
    ("patients", "phone", "phone", ()),
    ("patients", "caregiver_phone", "phone", ()),
    ("patients", "external_id", "external_id", ()),
    ("members", "phone", "phone", ()),
    ("outbound_messages", "to_phone", "phone", ("created_at",)),
    ("replies", "from_phone", "phone", ("received_at",)),
    ("simulated_texts", "phone", "phone", ("created_at",)),
)


def upgrade() -> None:
    op.create_table(
        "sealing_keys",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("index_key", sa.String(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("lost_at", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_sealing_keys")),
    )
    op.create_table(
        "patient_words",
        sa.Column("patient_id", sa.String(length=32), nullable=False),
        sa.Column("word_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_patient_words_patient_id")),
        sa.PrimaryKeyConstraint("patient_id", "word_hash", name=op.f("pk_patient_words")),
    )
    op.create_index(op.f("ix_patient_words_word_hash"), "patient_words", ["word_hash"])
    key = token_bytes(32)
    op.bulk_insert(
        sa.table(
            "sealing_keys",
            sa.column("key_id"),
            sa.column("index_key"),
            sa.column("created_at", UTCDateTime()),
        ),
        [{"key_id": "plain", "index_key": b64encode(key).decode(), "created_at": datetime.now(UTC)}],
    )
    op.add_column("escalations", sa.Column("phone_hash", sa.String(), nullable=True))
    _fill(key, "escalations", "phone", "phone")
    for table, column, kind, more in SOUGHT:
        op.add_column(table, sa.Column(f"{column}_hash", sa.String(), nullable=True))
        _fill(key, table, column, kind)
        op.drop_index("_".join(("ix", table, column, *more)), table_name=table)
        op.create_index("_".join(("ix", table, f"{column}_hash", *more)), table, [f"{column}_hash", *more])
    _phone_states(lambda phone: {"phone_hash": _hash(key, "phone", phone)})
    _subjects(key)
    _requests(key)
    _words(key)
    op.drop_index("ix_patients_name_id", table_name="patients")
    op.create_index("ix_patients_created_at_id", "patients", ["created_at", "id"])


def _hash(key: bytes, kind: str, value: str) -> str:
    return hmac.new(key, f"{kind}\0{value}".encode(), sha256).hexdigest()[:32]


def _fill(key: bytes, table: str, column: str, kind: str) -> None:
    """One update for each number, along the index that is there until now."""
    bind = op.get_bind()
    numbers = bind.execute(sa.text(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"))
    filled = sa.text(f"UPDATE {table} SET {column}_hash = :hash WHERE {column} = :value")
    rows = [{"value": value, "hash": _hash(key, kind, value)} for (value,) in numbers.all()]
    if rows:
        bind.execute(filled, rows)


def _phone_states(changed: object) -> None:
    """The number's hash becomes the table's key."""
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT phone, opted_out_at, unreachable_at, code FROM phone_states")).all()
    op.drop_table("phone_states")
    is_hashed = changed is not None
    key = [sa.Column("phone_hash", sa.String(), nullable=False)] if is_hashed else []
    op.create_table(
        "phone_states",
        *key,
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("opted_out_at", UTCDateTime(), nullable=True),
        sa.Column("unreachable_at", UTCDateTime(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("phone_hash" if is_hashed else "phone", name=op.f("pk_phone_states")),
    )
    names = (*(["phone_hash"] if is_hashed else []), "phone", "opted_out_at", "unreachable_at", "code")
    values = [{**row._mapping, **(changed(row.phone) if callable(changed) else {})} for row in rows]
    if values:
        listed = ", ".join(f":{name}" for name in names)
        bind.execute(sa.text(f"INSERT INTO phone_states ({', '.join(names)}) VALUES ({listed})"), values)


def _subjects(key: bytes) -> None:
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT DISTINCT subject FROM escalations WHERE patient_id IS NULL")).all()
    values = [{"old": old, "new": _hash(key, "phone", old)} for (old,) in rows]
    if values:
        statement = "UPDATE escalations SET subject = :new WHERE subject = :old AND patient_id IS NULL"
        bind.execute(sa.text(statement), values)


def _requests(key: bytes) -> None:
    """Repeats of a request within its 24 hours must still be known."""
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT DISTINCT request_hash FROM idempotency_keys")).all()
    values = [{"old": old, "new": _hash(key, "request", old)} for (old,) in rows]
    if values:
        statement = "UPDATE idempotency_keys SET request_hash = :new WHERE request_hash = :old"
        bind.execute(sa.text(statement), values)


def _words(key: bytes) -> None:
    """As service.patient_search makes them at this revision."""
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT id, name, phone FROM patients")).all()
    values = [
        {"patient_id": row.id, "word_hash": each}
        for row in rows
        for each in sorted(set(_hashes(key, row.name, row.phone)))
    ]
    if values:
        bind.execute(
            sa.text("INSERT INTO patient_words (patient_id, word_hash) VALUES (:patient_id, :word_hash)"),
            values,
        )


def _hashes(key: bytes, name: str, phone: str) -> Iterator[str]:
    bare = re.sub("['\u2018\u2019\u02bc`]", "", name)
    plain = unicodedata.normalize("NFKD", bare.casefold())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign)).replace("_", " ")
    yield from (_hash(key, "word", word) for word in re.findall(r"\w+", letters))
    for count in (4, 7):
        if len(phone) > count:
            yield _hash(key, "last_digits", phone[-count:])


def downgrade() -> None:
    bind = op.get_bind()
    if bind.execute(sa.text("SELECT count(*) FROM sealing_keys WHERE key_id <> 'plain'")).scalar_one():
        raise RuntimeError("columns are sealed: run aftercare keys rotate --off before going back")
    rows = bind.execute(sa.text("SELECT id, phone FROM escalations WHERE patient_id IS NULL")).all()
    for row in rows:
        bind.execute(
            sa.text("UPDATE escalations SET subject = :phone WHERE id = :id"),
            {"phone": row.phone, "id": row.id},
        )
    bind.execute(sa.text("DELETE FROM idempotency_keys"))
    _phone_states(None)
    op.drop_index("ix_patients_created_at_id", table_name="patients")
    op.create_index("ix_patients_name_id", "patients", ["name", "id"])
    for table, column, _kind, more in reversed(SOUGHT):
        op.drop_index("_".join(("ix", table, f"{column}_hash", *more)), table_name=table)
        op.drop_column(table, f"{column}_hash")
        op.create_index("_".join(("ix", table, column, *more)), table, [column, *more])
    op.drop_column("escalations", "phone_hash")
    op.drop_index(op.f("ix_patient_words_word_hash"), table_name="patient_words")
    op.drop_table("patient_words")
    op.drop_table("sealing_keys")
