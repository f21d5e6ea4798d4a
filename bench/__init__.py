"""Measurements. How fast is Rollcall beside its peers, and beside what the database alone can do?

No floor: a bench imports floors, and nothing imports it. Each is one command that starts what it compares on the same
servers in the same run, and prints a table for people and one line of JSON for machines (docs/benchmarks.md).
"""
