"""Starting in the middle: `market.domain.priming` under the name that replay's parts use."""

from market.domain.priming import Primer, between

__all__ = ["Primer", "between"]
