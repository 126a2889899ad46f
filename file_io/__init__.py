"""Files written whole or not at all, locks, and a quiet standard error.

Imports nothing of ours.
"""
