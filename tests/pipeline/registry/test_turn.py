import pytest

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
