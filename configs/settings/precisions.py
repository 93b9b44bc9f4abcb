"""Number formats that a setting may name."""

PRECISIONS = ("fp32", "bf16")
