"""The ledger: accounts, postings that balance, statements, and the proof that nothing was changed.

The only room that changes balances. Everything here is in minor units of an account's currency.
"""
