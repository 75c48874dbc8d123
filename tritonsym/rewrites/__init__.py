"""Expressions to expressions that compute the same: simpler, or what a device does better."""
