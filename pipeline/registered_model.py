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
    """Answers a data frame of requests: columns ``user``, and optionally ``query`` and ``k``."""

    def load_context(self, context: Any) -> None:
        """Open the bundle that lies among the model's artifacts."""
        from serving.runtime import Runtime

        self.runtime = Runtime(Path(context.artifacts["bundle"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[list[dict[str, Any]]]:
        """Return a list per request: dicts with ``item_id``, ``score`` and ``reasons``, best first."""
        answers = []
        for request in model_input.to_dict("records"):
            answer = self.runtime.recommend(
                user=str(request["user"]), query=request.get("query") or "", k=int(request.get("k") or 10)
            )
            answers.append(
                [
                    {"item_id": item.item_id, "score": item.score, "reasons": [str(reason) for reason in item.reasons]}
                    for item in answer.items
                ]
            )
        return answers


mlflow.models.set_model(BundleModel())
