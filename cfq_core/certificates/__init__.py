"""Certificates: statements that are true of every person they are made about."""
