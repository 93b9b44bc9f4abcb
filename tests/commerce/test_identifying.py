import pytest

from commerce.identifying import find_ids, find_patterns, masked, telling_ids


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to li.wei+shop@example.com.cn, please", "mail address"),
        ("我的电话13812345678谢谢", "phone number"),
        ("138 1234 5678", "phone number"),
        ("138-1234-5678.", "phone number"),
        ("+86 13812345678", "phone number"),
        ("008613812345678", "phone number"),
        ("call +44 20 7946 0958", "phone number"),
        ("+1 (212) 555 0142", "phone number"),
    ],
)
def test_what_people_write_is_found(text, kind):
    assert [found for found, _ in find_patterns(text)] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "0.13812345678",
        "1780000000000000",
        "6901234567892",  # a bar code
        "WH-13812345678-X",
        "sku13812345678",
        "12812345678",  # no mobile number begins so
        "2@3.5 mm",
        "a@b",
        "+5 kg, +10 W, C++ 2017",
        "+3 1500 mAh",
        "5 x 10-12 cm",
    ],
)
def test_numbers_of_products_are_none(text):
    assert list(find_patterns(text)) == []


def test_short_ids_and_those_of_items_are_not_looked_for_in_running_text():
    users = ["u17", "17", "user-0017", "li@example.com", "123456789", "household", "B0001"]
    assert telling_ids(users, ["B0001"]) == {"user-0017", "li@example.com", "123456789"}


def test_ids_are_found_as_words():
    ids = frozenset({"user-0017", "li@example.com"})
    assert list(find_ids('{"who": "user-0017"}, user-00171', ids)) == ["user-0017"]
    assert list(find_ids("to li@example.com.", ids)) == ["li@example.com"]


def test_a_finding_is_shown_without_telling_it():
    assert masked("13812345678") == "1...8 (11 characters)"
