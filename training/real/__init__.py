"""Chips of real scenes: one adapter per convention of a data set, labels, and the split by place."""
