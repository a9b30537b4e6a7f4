"""A Bybit-V5-compatible local exchange: see README.md in this folder."""
