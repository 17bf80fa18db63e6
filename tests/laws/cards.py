"""The head of a card that several tests write the features of."""

from __future__ import annotations

LOANS = """
name = "loans"
title = "Loans"
csv = "loans.csv"
target = "status"
favourable = "repaid"
"""
