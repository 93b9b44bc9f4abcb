from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST

from configs.errors import InputError
from pipeline.registry.tracking import open_tracking
from pipeline.registry.turn import lease, turn
from tests.pipeline.registry.versions import MODEL


def test_who_waits_too_long_is_told(uri):
    client = open_tracking(uri, make=False)
    with (
        turn(client, uri, MODEL),
        pytest.raises(InputError, match="somebody else has been changing"),
        turn(client, uri, MODEL, wait=0),
    ):
        pass


def test_a_lease_left_behind_is_set_aside_once_it_has_run_out(uri):
    client = open_tracking(uri, make=False)
    client.create_registered_model(f"{MODEL}-promotion-turn", tags={"mercato.holder": "dead"})
    with pytest.raises(InputError, match="somebody else"), lease(client, MODEL, wait=0):
        pass
    with lease(client, MODEL, wait=5, seconds=0.001):
        pass
    assert {model.name for model in client.search_registered_models()} == {MODEL, f"{MODEL}-promotion-turn-left-dead"}


def test_a_holder_whose_lease_ran_out_changes_nothing(uri):
    client = open_tracking(uri, make=False)
    with pytest.raises(InputError, match="nothing was changed"), lease(client, MODEL, seconds=0) as still_held:
        still_held()


class Server:
    """Refuses the first so many claims, each in its own way, then gives the turn away."""

    def __init__(self, *refusals):
        self.refusals, self.tags, self.deleted = list(refusals), {}, 0

    def create_registered_model(self, name, tags, description):
        if self.refusals:
            raise MlflowException("not now", error_code=self.refusals.pop(0))
        self.tags = tags

    def get_registered_model(self, name):
        if not self.tags:
            raise MlflowException("nobody", error_code=RESOURCE_DOES_NOT_EXIST)
        return SimpleNamespace(tags=self.tags, creation_timestamp=0)

    def delete_registered_model(self, name):
        self.deleted += 1


def test_a_turn_that_was_given_back_while_it_was_asked_for_is_asked_for_again():
    server = Server(RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST)
    with lease(server, "shop") as still_held:
        still_held()
    assert server.refusals == []
    assert server.deleted == 1


def test_what_a_server_says_otherwise_is_not_hidden():
    with pytest.raises(MlflowException, match="not now"), lease(Server(INTERNAL_ERROR), "shop"):
        pass
