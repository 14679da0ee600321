"""Surveys of the lake history: drafted, recorded in one order, and replayed when an earlier one arrives."""
