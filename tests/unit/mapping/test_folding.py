"""Notes that say the same are one line, and none is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.mapping.folding import FoldedNote, fold
from mssql_pg_migrate.mapping.objects import Note
from mssql_pg_migrate.model import ForeignKey, Index, KeyColumn, Module, Table
from schema_samples import catalog, column, key, mapped, table


def lines(notes: list[Note]) -> list[str]:
    return [line.text() for line in fold(notes)]


def test_one_note_is_as_it_was() -> None:
    assert lines([Note("lossy", "dbo.t.c", "is cut")]) == ["dbo.t.c: is cut"]


def test_equal_notes_are_a_line_with_number_and_first_names() -> None:
    notes = [Note("lossy", f"dbo.t.c{number}", "is cut") for number in range(91)]
    assert lines(notes) == ["is cut (91 times: dbo.t.c0, dbo.t.c1, dbo.t.c2 and 88 more; see --output-json for all)"]
    assert lines(notes[:3]) == ["is cut (3 times: dbo.t.c0, dbo.t.c1, dbo.t.c2)"]


def test_another_severity_is_another_line() -> None:
    assert len(fold([Note("lossy", "dbo.t.a", "is cut"), Note("warning", "dbo.t.b", "is cut")])) == 2


@pytest.mark.parametrize(
    ("message", "folded"),
    [
        ('fed by the sequence "seq_{n}" now', "fed by the sequence … now"),
        ("Table 'T{n}' has no primary key", "Table … has no primary key"),
        ("default ('it''s (' + [C{n}]): not translated", "default ('it''s (' + …): not translated"),
        ("default (getdate()+({n})): not translated", "default …: not translated"),
        ("foreign key to Sales.Other{n}: not part of this run", "foreign key to …: not part of this run"),
        ("NULL in Alpha{n}, beta_{n} will be allowed", "NULL in … will be allowed"),
        ("values of t{n} differ", "values of … differ"),
        ("PostgreSQL limits it to 2,704 bytes (declared: up to {n})", "PostgreSQL limits it to 2,704 bytes …"),
        ("history is in dbo.t{n}, a plain table", "history is in …, a plain table"),
    ],
)
def test_names_and_expressions_do_not_keep_notes_apart(message: str, folded: str) -> None:
    notes = [Note("warning", f"dbo.t{number}", message.format(n=number)) for number in range(5)]
    assert [line.message for line in fold(notes)] == [folded]


def test_two_or_three_that_differ_keep_their_texts() -> None:
    notes = [Note("renamed", f"dbo.t{number}", f'table becomes "t_{number}": it is taken') for number in range(3)]
    assert lines(notes) == [f"{note.object}: {note.message}" for note in notes]


def test_other_words_keep_notes_apart() -> None:
    words = ("view", "trigger", "rule", "index", "constraint")
    notes = [Note("not_carried", f"dbo.t{number} index x", f"{word}: disabled") for number, word in enumerate(words)]
    assert len(fold(notes * 2)) == 5


_MESSAGES = st.text("ab(['\")] ,.:é1", max_size=40)
_NOTES = st.lists(
    st.builds(Note, st.sampled_from(["warning", "lossy"]), st.sampled_from(["dbo.a", "dbo.b.c", "x y"]), _MESSAGES),
    max_size=30,
)


@given(_NOTES)
def test_every_note_is_in_one_line(notes: list[Note]) -> None:
    found = fold(notes)
    assert sorted(map(str, (note for line in found for note in line.notes))) == sorted(map(str, notes))
    assert all({note.severity for note in line.notes} == {line.severity} for line in found)
    firsts = [notes.index(line.notes[0]) for line in found]
    assert firsts == sorted(firsts)
    for line in found:
        assert line.message == line.notes[0].message or ("…" in line.message and len(line.notes) > 3)


def test_long_definitions_take_no_time() -> None:
    text = "check " + "(" * 3000 + "[a] > 1" + ")" * 2990
    began = time.process_time()
    fold([Note("lossy", f"dbo.t{number}", text) for number in range(20)])
    assert time.process_time() - began < 5


def _temporal(number: int) -> list[Table]:
    """A table as one finds them in a large schema of today: a sequence as default, a period, an archive beside it."""
    name = f"Entity{number}"
    moments = [column(f"Valid{end}", "datetime2(7)") for end in ("From", "To")]
    columns = [
        column(f"{name}ID", "int", default=f"(NEXT VALUE FOR [Sequences].[{name}ID])"),
        column("Name", "nvarchar(50)"),
        column("Place", "geography", nullable=True),
        column("LastEditedWhen", "datetime2(7)", default="(sysdatetime())"),
        *moments,
    ]
    keys = {
        "primary_key": key(f"PK_{name}", f"{name}ID", primary=True),
        "unique_keys": (key(f"UQ_{name}_Name", "Name", "ValidFrom"),),
        "indexes": (
            Index(f"IX_{name}_Where", (KeyColumn("LastEditedWhen"),), unique=False, kind="NONCLUSTERED COLUMNSTORE"),
        ),
        "foreign_keys": (ForeignKey(f"FK_{name}_Elsewhere", ("Name",), "Elsewhere", f"Thing{number}", ("Name",)),),
    }
    archive = [column(item.name, "datetime2(7)" if item in moments else "int") for item in columns]
    return [
        table(name, *columns, schema="Sales", temporal="versioned", history_table=f"Sales.{name}_Archive", **keys),
        table(f"{name}_Archive", *archive, schema="Sales", temporal="history"),
    ]


def test_a_large_schema_has_a_plan_that_can_be_read() -> None:
    tables = [item for number in range(30) for item in _temporal(number)]
    modules = [Module("Website", f"Do{number}", "procedure", None) for number in range(40)]
    database = mapped(catalog(*tables, modules=modules), schemas={"Sales": "sales"})
    found = fold(database.notes)
    assert len(database.notes) > 300
    assert len(found) < 30, [line.text() for line in found]
    assert sum(len(line.notes) for line in found) == len(database.notes)
    assert any(isinstance(line, FoldedNote) and len(line.notes) == 40 for line in found)
