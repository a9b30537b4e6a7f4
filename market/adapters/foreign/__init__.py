"""Readers of recordings that others made: files in, raw payloads of the market hub out."""
