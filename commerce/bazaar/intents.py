"""What browse, compare and buy sessions are like: rates by intent, in the order of ``commerce.columns.INTENTS``."""

from __future__ import annotations

import numpy as np

BROWSE, COMPARE, BUY = 0, 1, 2

SEARCH = np.array([0.20, 0.80, 0.85])
"""Probability that the session opens with a search."""
NAMES_BRAND = np.array([0.0, 0.15, 0.5])
"""Probability that a query names a brand."""
NAMES_STYLE = np.array([0.1, 0.4, 0.5])
"""Probability that a query names a style."""
SECOND_LIST = np.array([0.4, 0.4, 0.15])
"""Probability that a second list is asked for: more of the feed, or a narrower search."""
FEWEST_CLICKS = np.array([2, 2, 1])
"""Clicks on a list, at least."""
SPAN_CLICKS = np.array([4, 4, 2])
"""Clicks on a list: from ``FEWEST_CLICKS`` on, this many counts are alike likely."""
FAVORITE = np.array([0.06, 0.25, 0.04])
"""Probability that a viewed item is marked as a favourite."""
CART = np.array([0.05, 0.12, 0.95])
"""Probability that the session puts an item into the cart."""
PURCHASE = np.array([0.4, 0.3, 0.85])
"""Probability that what is in the cart is bought."""
PRICE_TASTE = np.array([1.0, 0.0, -1.0])
"""What a standard deviation of an item's log price adds to its utility, times ``intent_tastes``."""
RATING_TASTE = np.array([-0.5, 1.0, -0.5])
"""What a standard deviation of its rating adds likewise; over all sessions it evens out."""
MOST_CLICKS = int((FEWEST_CLICKS + SPAN_CLICKS - 1).max())
