import numpy as np
import pyarrow as pa

from commerce.prices import last_prices


def test_the_last_price_before_each_users_limit_counts(warehouse):
    rows = [
        # user, item, time, row, price
        (0, 0, 10, 0, 1.0),
        (1, 0, 20, 1, 2.0),
        (0, 0, 30, 2, 9.0),  # past user 0's limit
        (0, 1, 10, 3, 5.0),
        (0, 1, 10, 4, 6.0),  # at the same time, later in the file
        (1, 2, 10, 5, None),
        (1, 2, 11, 6, 0.0),  # given away: no price
    ]
    user, item, time, row, price = zip(*rows, strict=True)
    events = warehouse.create_table(
        "log",
        pa.table({"user": pa.array(user, pa.int32()), "item": item, "time": time, "row": row, "price": price}),
    )
    prices = last_prices(warehouse, events, until=np.array([30, 100]), items=4)
    np.testing.assert_array_equal(prices, np.array([2.0, 6.0, np.nan, np.nan], dtype=np.float32))
