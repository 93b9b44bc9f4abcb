"""The bazaar: a synthetic bilingual shop with planted habits, and the oracle that knows how it was made.

``docs/bazaar.md`` lists the habits, their settings and the statistic that shows each.
"""

from commerce.bazaar.writer import Bazaar, write_bazaar

__all__ = ["Bazaar", "write_bazaar"]
