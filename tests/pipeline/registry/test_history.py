from pipeline.registry.history import Change, History


def changes(*steps):
    """Each step: (kind, from, to, status)."""
    return [
        Change(str(number), status, number, number, {"kind": kind, "number": str(number), "from": old, "to": new}, {})
        for number, (kind, old, new, status) in enumerate(steps, start=1)
    ]


def test_the_last_finished_change_is_cut_off_where_the_alias_did_not_follow():
    found = changes(("promote", "", "1", "FINISHED"), ("promote", "1", "2", "FINISHED"))
    behind = History("shop", "1", found)
    assert behind.cut_off is found[1]
    assert behind.agrees
    assert [reign.version for reign in behind.reigns] == ["1"]
    there = History("shop", "2", found)
    assert there.cut_off is None
    assert there.agrees
    assert [(reign.version, reign.until) for reign in there.reigns] == [("1", 2), ("2", None)]


def test_a_first_promotion_that_was_cut_off_leaves_no_champion():
    history = History("shop", "", changes(("promote", "", "1", "FINISHED")))
    assert history.cut_off
    assert history.agrees
    assert not history.reigns


def test_refused_killed_and_retiring_runs_make_no_champion():
    found = changes(
        ("promote", "", "1", "FINISHED"),
        ("promote", "1", "2", "FAILED"),
        ("promote", "1", "2", "KILLED"),
        ("promote", "1", "2", "RUNNING"),
        ("retire", "1", "2", "FINISHED"),
    )
    history = History("shop", "1", found)
    assert history.agrees
    assert history.cut_off is None
    assert [reign.version for reign in history.reigns] == ["1"]


def test_rolling_back_twice_goes_back_two_champions_and_not_to_and_fro():
    steps = [("promote", "", "1"), ("promote", "1", "2"), ("promote", "2", "3"), ("rollback", "3", "2")]
    history = History("shop", "2", changes(*((*step, "FINISHED") for step in steps)))
    assert history.former() == ["1"]


def test_an_alias_that_no_change_explains_does_not_agree():
    assert not History("shop", "9", changes(("promote", "", "1", "FINISHED"))).agrees
