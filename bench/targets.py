"""What shall be reached, by the names under which a run gives its numbers."""

from __future__ import annotations

from bench.measuring import Target

K, M = 1_000, 1_000_000
_PEERS = ("scim2_server", "django_scim2_server")
_FILTERS = ("user_name", "external_id", "email")


def _ahead(name: str) -> list[Target]:
    return [Target(name=f"{name}_vs_{peer}", bound="at least", value=1, people=100 * K) for peer in _PEERS]


TARGETS: tuple[Target, ...] = (
    Target(name="list_100k_vs_stock", bound="at least", value=60, people=100 * K),
    *_ahead("list_100k"),
    Target(name="cursor_middle_vs_first_100k", bound="at most", value=1.5, people=100 * K),
    Target(name="cursor_deep_vs_first_100k", bound="at most", value=1.5, people=100 * K),
    Target(name="cursor_deep_vs_first_1m", bound="at most", value=1.5, people=M),
    Target(name="list_1m_vs_1k", bound="at most", value=1.5, people=M),
    Target(name="filter_user_name_100k_vs_stock", bound="at least", value=10, people=100 * K),
    # Stock can't look for these two: the one look-up that it can do is what they stand beside.
    Target(name="filter_external_id_100k_vs_stock_user_name", bound="at least", value=10, people=100 * K),
    Target(name="filter_email_100k_vs_stock_user_name", bound="at least", value=10, people=100 * K),
    *(target for name in _FILTERS for target in _ahead(f"filter_{name}_100k")),
    *(Target(name=f"filter_{name}_1m_vs_1k", bound="at most", value=1.3, people=M) for name in _FILTERS),
    Target(name="add_member_10k_vs_stock", bound="at least", value=60, people=100 * K),
    Target(name="add_member_100k_vs_1k", bound="at most", value=1.3, people=100 * K),
    # The faster of stock's PUT, which drops the members, and its PATCH, for which the client must know the difference.
    Target(name="put_group_1k_vs_stock", bound="at least", value=4),
    Target(name="get_user_vs_stock", bound="at least", value=1.3),
    Target(name="create_vs_stock", bound="at least", value=0.8),
    Target(name="deactivate_vs_stock", bound="at least", value=0.8),
    Target(name="create_p95_8_clients", bound="at most", value=60, unit="ms"),
    Target(name="deactivate_p95_8_clients", bound="at most", value=60, unit="ms"),
    Target(name="worker_memory_is_flat", bound="at least", value=1, unit=""),
    Target(name="database_page_100_vs_plain_read", bound="at most", value=2.5),
    Target(name="database_group_100k_vs_string_agg", bound="at most", value=1.5, people=100 * K),
    Target(name="database_group_100k_memory", bound="at most", value=32, unit="MB", people=100 * K),
    Target(name="http_group_100k_memory", bound="at most", value=32, unit="MB", people=100 * K),
    Target(name="database_add_member_1k", bound="at most", value=2, unit="ms"),
    Target(name="database_add_member_10k", bound="at most", value=2, unit="ms", people=100 * K),
    Target(name="database_add_member_100k", bound="at most", value=2, unit="ms", people=100 * K),
    Target(name="database_put_10k_vs_sql_difference", bound="at most", value=1.3, people=100 * K),
)
