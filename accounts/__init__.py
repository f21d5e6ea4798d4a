"""First floor. What is, and what is allowed?

Tenants, the people and machines with accounts, groups, owners, holds, permits, exceptions, findings, and who signs in.
"""
