"""Scenarios as text, played on engines in virtual time, and their transcripts."""
