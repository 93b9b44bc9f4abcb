"""A bundle as an MLflow model: ``mlflow.pyfunc.load_model("models:/NAME@candidate").predict(requests)``.

MLflow keeps this file with the model and runs it on loading (models from code), so nothing is pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel


class BundleModel(PythonModel):
    """Answers a data frame of requests: columns ``user``, ``query`` and ``k``, each optional."""

    def load_context(self, context: Any) -> None:
        """Open the bundle that lies among the model's artifacts."""
        from serving.runtime import Runtime

        self.runtime = Runtime(Path(context.artifacts["bundle"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[list[dict[str, Any]]]:
        """Return a list per request: dicts with ``item_id``, ``score`` and ``reasons``, best first."""
        # A column that is left out, or a cell that is empty, means what a request means by default.
        rows = [
            {str(name): value for name, value in row.items() if not pd.isna(value)}
            for row in model_input.to_dict("records")
        ]
        return [self._answer(row) for row in rows]

    def _answer(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        user = str(row.get("user", "")) or None  # nobody: asked as a visitor without a history
        answer = self.runtime.recommend(
            user, events=None if user else (), query=str(row.get("query", "")), k=int(row.get("k", 10))
        )
        return [
            {"item_id": item.item_id, "score": item.score, "reasons": [str(reason) for reason in item.reasons]}
            for item in answer.items
        ]


mlflow.models.set_model(BundleModel())
