"""The filters of a strict connection: comparisons by `eq`, joined by `and` (section 6.3 of the interop profile)."""

from provisioning.scim.errors import invalid_filter
from provisioning.scim.filters.nodes import And, Compare, Constant, Node, ValuePath


def check_filter(node: Node) -> None:
    """Raise invalidFilter for any other operator."""
    match node:
        case And(terms=terms):
            for term in terms:
                check_filter(term)
        case ValuePath(inner=inner):
            check_filter(inner)
        case Compare(operator="eq") | Constant():
            return
        case _:
            raise invalid_filter("This connection is strict: a filter may use eq and and only.")
