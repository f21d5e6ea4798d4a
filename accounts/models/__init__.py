"""Nouns of the first floor, a module each. Imported here so that Django finds them; use the modules."""

from accounts.models.account import Account, AccountKind, Environment
from accounts.models.exception import ExceptionKind, PolicyException
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.group import Group, Membership
from accounts.models.hold import Hold, HoldKind
from accounts.models.identity import Identity
from accounts.models.ownership import Ownership, OwnershipKind
from accounts.models.permit import Permit, PermitAct
from accounts.models.sweep import Sweep, SweepName
from accounts.models.system import ReactivationPolicy, System, SystemAdministrator, SystemKind
from accounts.models.tenant import Tenant, TenantKind, TenantOwned
from accounts.models.user import Invitation, Role, RoleName, User

__all__ = [
    "Account",
    "AccountKind",
    "Environment",
    "ExceptionKind",
    "Finding",
    "FindingKind",
    "Group",
    "Hold",
    "HoldKind",
    "Identity",
    "Invitation",
    "Membership",
    "Ownership",
    "OwnershipKind",
    "Permit",
    "PermitAct",
    "PolicyException",
    "ReactivationPolicy",
    "Role",
    "RoleName",
    "Severity",
    "Sweep",
    "SweepName",
    "System",
    "SystemAdministrator",
    "SystemKind",
    "Tenant",
    "TenantKind",
    "TenantOwned",
    "User",
]
