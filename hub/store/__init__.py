"""All SQL of the hub: each `thing.sql` holds named statements, the `thing.py` beside it gives them types.

Statements take `$1` parameters only. Transactions are opened by the door that needs them.
"""
