"""Fills the databases of the two Django peers with the same company, as their own code would have left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from bench.company import Company, Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Connection = psycopg.Connection[tuple[Any, ...]]

_MADE = "2026-01-01T00:00:00Z"
# What set_unusable_password would leave; nobody signs in.
_NO_PASSWORD = "!" + "x" * 40

_STOCK = """
INSERT INTO stock_user (id, password, last_login, scim_id, scim_external_id, scim_username, username, first_name,
                        last_name, email, is_active, date_joined)
SELECT n, %(password)s, NULL, n::text, external_id, user_name, user_name, given, family, email, true, %(made)s FROM person;
INSERT INTO stock_group (id, scim_id, scim_external_id, scim_display_name, name)
SELECT number, number::text, '', name, name FROM team;
INSERT INTO stock_user_scim_groups (user_id, group_id)
SELECT first + step * k, number FROM team, generate_series(0, count - 1) AS k;
INSERT INTO stock_historicaluser (id, password, last_login, scim_id, scim_external_id, scim_username, username,
                                  first_name, last_name, email, is_active, date_joined, history_date, history_type)
SELECT id, password, last_login, scim_id, scim_external_id, scim_username, username, first_name, last_name, email,
       is_active, date_joined, %(made)s, '+' FROM stock_user;
INSERT INTO stock_historicalgroup (id, scim_id, scim_external_id, scim_display_name, name, history_date, history_type)
SELECT id, scim_id, scim_external_id, scim_display_name, name, %(made)s, '+' FROM stock_group;
SELECT setval(pg_get_serial_sequence('stock_user', 'id'), (SELECT max(id) FROM stock_user));
SELECT setval(pg_get_serial_sequence('stock_group', 'id'), (SELECT max(id) FROM stock_group))
"""

_ANOTHER = """
INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
                       date_joined)
SELECT n, %(password)s, false, user_name, given, family, email, false, true, %(made)s FROM person;
INSERT INTO auth_group (id, name) SELECT number, name FROM team;
INSERT INTO auth_user_groups (user_id, group_id)
SELECT first + step * k, number FROM team, generate_series(0, count - 1) AS k;
INSERT INTO django_scim2_server_scimuser (id, user_id, external_id, scim_username, active, created, last_modified)
SELECT md5('user' || n)::uuid, n, external_id, user_name, true, %(made)s, %(made)s FROM person;
INSERT INTO django_scim2_server_scimgroup (id, group_id, external_id, display_name, created, last_modified)
SELECT md5('group' || name)::uuid, number, '', name, %(made)s, %(made)s FROM team;
SELECT setval(pg_get_serial_sequence('auth_user', 'id'), (SELECT max(id) FROM auth_user));
SELECT setval(pg_get_serial_sequence('auth_group', 'id'), (SELECT max(id) FROM auth_group))
"""


def _copy(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _stage(connection: Connection, company: Company) -> None:
    connection.execute(
        "CREATE TEMPORARY TABLE person (n bigint, external_id text, user_name text, given text, family text, email text);"
        "CREATE TEMPORARY TABLE team (number bigint, name text, first bigint, step bigint, count bigint)"
    )
    people = (Person(n=n) for n in company.everybody)
    _copy(
        connection, "COPY person FROM STDIN",
        ((one.n, one.external_id, one.user_name, one.given, one.family, one.email) for one in people),
    )  # fmt: skip
    teams = enumerate(company.teams, start=1)
    _copy(
        connection, "COPY team FROM STDIN",
        ((number, team.name, team.first, team.step, team.count) for number, team in teams),
    )  # fmt: skip


def _load(statements: str) -> Callable[[str, Company], None]:
    def load(url: str, company: Company) -> None:
        with psycopg.connect(url) as connection:
            _stage(connection, company)
            for statement in statements.split(";\n"):
                connection.execute(statement, {"made": _MADE, "password": _NO_PASSWORD})

    return load


stock = _load(_STOCK)
another = _load(_ANOTHER)
