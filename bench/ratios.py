"""From what was measured to the numbers that have targets, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.contestants import ANOTHER, MEMORY, ROLLCALL, SHORT, STOCK
from bench.measuring import ratio
from bench.targets import K, M

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.company import Company
    from bench.course import Results
    from bench.measuring import Summary

_SIZES = {K: "1k", 10 * K: "10k", 100 * K: "100k", M: "1m"}
_MS = 1_000
# Pieces that carry a size in their ratio's name, since they depend on it; the others are told at the largest in common.
_SIZED = {
    "list": "list", "filter_user_name": "filter_user_name", "filter_external_id": "filter_external_id",
    "filter_email": "filter_email",
}  # fmt: skip
_PLAIN = {"get_user": "get_user", "create": "create", "deactivate": "deactivate"}
_PEERS = (STOCK, MEMORY, ANOTHER)


def ratios(results: Results, inside: Mapping[int, Mapping[str, Any]], companies: Sequence[Company]) -> dict[str, float]:
    """Everything that could be measured."""
    sizes = [company.people for company in companies]
    shared = max(size for size in sizes if size <= 100 * K)
    found: dict[str, float | None] = {}
    found |= _beside_peers(results, [size for size in sizes if size <= 100 * K], shared)
    found |= _at_any_size(results, sizes)
    found |= _groups(results, shared)
    found |= _writers(results, shared)
    found |= _memory(results, shared)
    found |= _inside(inside, shared)
    return {name: value for name, value in found.items() if value is not None}


def _slower(results: Results, piece: str, who: str, people: int) -> float | None:
    """How many times as long a peer takes as we do."""
    return ratio(results.get(piece, who, people), results.get(piece, ROLLCALL, people))


def _beside_peers(results: Results, sizes: Sequence[int], shared: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for who in _PEERS:
        for piece, name in _SIZED.items():
            for people in sizes:
                found[f"{name}_{_SIZES[people]}_vs_{SHORT[who]}"] = _slower(results, piece, who, people)
        for piece, name in _PLAIN.items():
            found[f"{name}_vs_{SHORT[who]}"] = _slower(results, piece, who, shared)
    # What stock can't look for stands beside the one look-up that it can do.
    for piece in ("filter_external_id", "filter_email"):
        for people in sizes:
            found[f"{piece}_{_SIZES[people]}_vs_stock_user_name"] = ratio(
                results.get("filter_user_name", STOCK, people), results.get(piece, ROLLCALL, people)
            )
    return found


def _at_any_size(results: Results, sizes: Sequence[int]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for people in sizes:
        first = results.get("cursor_first", ROLLCALL, people)
        for depth in ("middle", "deep"):
            deep = results.get(f"cursor_{depth}", ROLLCALL, people)
            found[f"cursor_{depth}_vs_first_{_SIZES[people]}"] = ratio(deep, first)
        if people != K:
            for piece, name in _SIZED.items():
                least = results.get(piece, ROLLCALL, K)
                found[f"{name}_{_SIZES[people]}_vs_1k"] = ratio(results.get(piece, ROLLCALL, people), least)
    return found


def _groups(results: Results, shared: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for size in (K, 10 * K, 100 * K):
        for who in _PEERS:
            found[f"add_member_{_SIZES[size]}_vs_{SHORT[who]}"] = _slower(results, f"add_member_{size}", who, shared)
            found[f"get_group_{_SIZES[size]}_vs_{SHORT[who]}"] = _slower(results, f"get_group_{size}", who, shared)
    found["add_member_100k_vs_1k"] = ratio(
        results.get(f"add_member_{100 * K}", ROLLCALL, shared), results.get(f"add_member_{K}", ROLLCALL, shared)
    )
    put = results.get("put_group_1000", ROLLCALL, shared)
    for who in (MEMORY, ANOTHER):
        found[f"put_group_1k_vs_{SHORT[who]}"] = _slower(results, "put_group_1000", who, shared)
    dropping = ratio(results.get("put_group_1000", STOCK, shared), put)
    patching = ratio(results.get("patch_group_1000", STOCK, shared), put)
    found["put_group_1k_vs_stock_dropping_members"] = dropping
    found["put_group_1k_vs_stock_patch"] = patching
    if dropping is not None and patching is not None:
        found["put_group_1k_vs_stock"] = min(dropping, patching)
    return found


def _writers(results: Results, shared: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for piece in ("create", "deactivate"):
        for suffix in ("", "_as_shipped"):
            summary = results.get(f"{piece}_at_once{suffix}", ROLLCALL, shared)
            found[f"{piece}_p95_8_clients{suffix}"] = _ms(summary, lambda one: one.p95)
        for who in _PEERS:
            theirs = results.get(f"{piece}_at_once", who, shared)
            found[f"{piece}_p95_8_clients_{SHORT[who]}"] = _ms(theirs, lambda one: one.p95)
    return found


def _ms(summary: Summary | None, value: Callable[[Summary], float]) -> float | None:
    return None if summary is None else _MS * value(summary)


def _memory(results: Results, shared: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    weight = next((one for title, one in results.weights.items() if title.endswith(f" {shared:,}")), None)
    if weight is not None and weight.soak:
        start, middle, end = weight.start_middle_end()
        found["worker_memory_start"], found["worker_memory_middle"], found["worker_memory_end"] = start, middle, end
        found["worker_memory_climb_per_1000_requests"] = weight.climb()
        found["worker_memory_is_flat"] = float(weight.is_flat())
    for size in (K, 100 * K):
        found[f"http_group_{_SIZES[size]}_memory"] = results.peaks.get((ROLLCALL, size))
        for who in _PEERS:
            found[f"http_group_{_SIZES[size]}_memory_{SHORT[who]}"] = results.peaks.get((who, size))
    return found


def _inside(inside: Mapping[int, Mapping[str, Any]], shared: int) -> dict[str, float | None]:
    pieces: Mapping[str, Mapping[str, Any]] = inside.get(shared, {}).get("pieces", {})
    found: dict[str, float | None] = {"database_page_100_vs_plain_read": _over_plain(pieces.get("page"))}
    for size in (K, 10 * K, 100 * K):
        name = _SIZES[size]
        group, added = pieces.get(f"group_{size}"), pieces.get(f"add_member_{size}")
        found[f"database_group_{name}_vs_string_agg"] = _over_plain(group)
        found[f"database_group_{name}_memory"] = group["megabytes"] if group else None
        found[f"database_add_member_{name}"] = _MS * added["database"]["median"] if added else None
        found[f"database_add_member_{name}_whole_door"] = _MS * added["product"]["median"] if added else None
        found[f"database_put_{name}_vs_sql_difference"] = _over_plain(pieces.get(f"put_{size}"))
    return found


def _over_plain(piece: Mapping[str, Any] | None) -> float | None:
    if not piece or "product" not in piece or "plain" not in piece:
        return None
    over: float = piece["product"]["median"] / piece["plain"]["median"]
    return over
