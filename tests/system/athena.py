"""Runs queries over documents as Athena does over the table of deploy/archive.yaml: athena.py < JSON

The JSON is {"columns": [{"Name": .., "Type": ..}, ..], "folder": .., "queries": [..]}: columns as the Glue table has
them, a folder with files of JSON lines below `dt=DAY/`, compressed or not, and SQL. Prints the rows of each query as
one line of JSON: a list of objects. The queries run as they are, in DuckDB. Of Trino's functions it lacks one, which is
defined here.
"""

import json
import re
import sys
from typing import Any

import duckdb

LACKS = ["CREATE MACRO from_iso8601_timestamp(text) AS CAST(text AS TIMESTAMPTZ)"]
STRUCT = re.compile(r"struct<(.*)>")
SCALARS = {"string": "VARCHAR", "boolean": "BOOLEAN"}


def translated(kind: str) -> str:
    """DuckDB's type for one of Glue's. A struct in a struct is more than the table has."""
    if (found := STRUCT.fullmatch(kind)) is None:
        return SCALARS[kind]
    fields = [field.split(":") for field in found[1].split(",")]
    # Quoted: `at` is a word of DuckDB's.
    members = [f'"{name}" {SCALARS[of]}' for name, of in fields]
    return f"STRUCT({', '.join(members)})"


def rows(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """What a query found, by the names of its columns."""
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def main() -> None:
    """Reads what to run, and runs it."""
    asked = json.load(sys.stdin)
    columns = {one["Name"]: translated(one["Type"]) for one in asked["columns"]}
    database = duckdb.connect(":memory:")
    for sql in LACKS:
        database.execute(sql)
    # As the JSON SerDe: a line that is no JSON is left out, and so is a member that is no column.
    database.execute(
        "CREATE TABLE evidence AS SELECT * FROM read_json(?, format = 'newline_delimited', columns = ?, "
        "ignore_errors = true, hive_partitioning = true, hive_types = {'dt': 'VARCHAR'})",
        [f"{asked['folder']}/*/*", columns],
    )
    for query in asked["queries"]:
        print(json.dumps(rows(database.execute(query)), default=str), flush=True)


main()
