"""Nouns of the top floor, a module each. Imported here so that Django finds them; use the modules."""

from governance.models.approval import Answer, Approval
from governance.models.campaign import Campaign, Review, ReviewDecision
from governance.models.certificate import Certificate
from governance.models.notice import Notice

__all__ = ["Answer", "Approval", "Campaign", "Certificate", "Notice", "Review", "ReviewDecision"]
