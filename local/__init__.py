"""Beside the four floors: everything that one machine needs to run Rollcall.

The question it answers: *which processes must live, and with which environment?* It starts PostgreSQL and a
Redis-compatible server of its own, runs the product's commands in child processes, keeps them alive and stops them.
It imports none of the floors and none of them imports it: they meet only in environment variables and in `manage.py`.
"""
