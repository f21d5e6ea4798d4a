"""Ground floor. What happened, and why?

Causes, history, the journal and the state tables that all other floors stand on. Knows no domain.
"""
