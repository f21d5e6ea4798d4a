"""Floor: provisioning. Question: what has a system said since we listened last?

A feed is listened to from a position, and what it said is received before the position moves: both in one transaction.
"""
