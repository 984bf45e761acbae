"""Functions with derivative rules of their own; see declaring.py."""

from .declaring import CustomRule, custom_rule
from .differences import numeric

__all__ = ["CustomRule", "custom_rule", "numeric"]
