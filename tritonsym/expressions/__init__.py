"""What is computed, as expressions of a closed set of primitives, and what each one means."""
