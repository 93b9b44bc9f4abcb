from commerce.texts import item_text, leaf_category, text_columns

ROW = {"title": " Green   tea ", "brand": None, "size": float("nan"), "short": "tea"}


def test_columns_are_joined_and_empty_ones_left_out():
    assert item_text(ROW, ["title", "brand", "size", "short"]) == "Green tea tea"


def test_an_alternative_is_taken_where_the_first_is_empty():
    assert item_text(ROW, ["brand|short"]) == "tea"
    assert item_text(ROW, ["title|short"]) == "Green tea"
    assert item_text(ROW, ["brand|size"]) == ""
    assert text_columns(["title|short", "brand"]) == ["title", "short", "brand"]


def test_an_encoder_that_knows_no_full_width_letters_reads_plain_ones():
    assert item_text({"title": "连衣裙，Ｍ码\u3000２０２４"}, ["title"]) == "连衣裙，M码 2024"


def test_the_leaf_is_the_last_level():
    assert leaf_category("Food > Tea > Green") == "Green"
    assert leaf_category("Food") == "Food"
    assert leaf_category(None) == ""
