"""Manifest → plan → queue → workers → downloaders → ledger."""
