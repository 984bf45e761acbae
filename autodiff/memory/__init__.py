"""Less memory for more time: what the backward pass needs is computed again."""

from .checkpointing import checkpoint
from .scan import checkpoint_scan

__all__ = ["checkpoint", "checkpoint_scan"]
