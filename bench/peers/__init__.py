"""Whom Rollcall is measured against, each set up as its own documentation says, and no worse than it allows."""
