import pytest

from learning.encoder_fit import check_fit, language_of
from learning.encoder_folder import EncoderError


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Desk lamp, white", "Latin"),
        ("青苔 台灯 白色", "Chinese"),
        ("Apple 苹果 手机", "Chinese"),
        ("デスクランプ 白", "Japanese"),
        ("Настольная лампа", "Cyrillic"),
        ("책상 램프", "Korean"),
        ("12 / 500", "no letters"),
    ],
)
def test_the_language_is_told_by_the_letters(text, language):
    assert language_of(text) == language


def test_the_shops_own_encoder_reads_its_texts(shop_encoder):
    folder, titles, text = shop_encoder
    report = check_fit({"items": titles}, text, folder)
    assert report.warnings == []
    assert {(fit.language, fit.unknown, fit.colliding) for fit in report.fits} == {("Latin", 0, 0), ("Chinese", 0, 0)}


def test_unread_letters_are_refused_with_the_remedy(shop_encoder):
    folder, titles, text = shop_encoder
    found = r"items, Korean: 3 texts, 100.0% unknown tokens, 100.0% colliding texts"
    with pytest.raises(EncoderError, match=found) as raised:
        check_fit({"items": [*titles, "책상", "램프", "의자"]}, text, folder)
    assert "text.encoder=train" in str(raised.value)


def test_a_share_between_the_two_limits_is_a_warning(shop_encoder):
    folder, _, text = shop_encoder
    # Ten known tokens to one unknown: 9%.
    report = check_fit({"items": ["red white " * 5 + "램"]}, text, folder)
    assert len(report.warnings) == 1
    assert "9.1% unknown tokens" in report.warnings[0]


def test_texts_that_differ_in_case_and_spaces_only_do_not_collide(shop_encoder):
    folder, _, text = shop_encoder
    fit = check_fit({"items": ["Desk lamp", "desk  LAMP", "red"]}, text, folder).fits[0]
    assert (fit.texts, fit.colliding) == (3, 0)


def test_cut_off_texts_collide(shop_encoder):
    folder, _, text = shop_encoder
    long = "red " * 30
    text.refuse_share = 1.0
    fit = check_fit({"items": [long + "white", long + "lamp", "red"]}, text, folder).fits[0]
    assert fit.colliding == pytest.approx(2 / 3)


def test_a_few_foreign_texts_among_many_are_no_reason_to_stop(shop_encoder):
    folder, titles, text = shop_encoder
    many = [f"{title} {other}" for title in titles for other in titles[:4]]
    report = check_fit({"items": [*many, "책상"]}, text, folder)
    assert len(report.warnings) == 1
