"""Number formats that a setting may name; ``auto`` is bf16 where the hardware multiplies it, else fp32."""

PRECISIONS = ("auto", "fp32", "bf16")
