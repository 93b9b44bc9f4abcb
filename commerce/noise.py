"""Noise as people make it in texts: slips of the fingers, words in another order, look-alike scripts.

Every change follows from the text, its kind and a seed alone, whatever stands beside it, so that the same text is
always noised alike. Units are what is changed: words between white space, of which runs of Chinese characters fall into
pairs, for most Chinese words have two. White space stays where it was, and no unit is emptied, so the number of words
does too.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable

from commerce.plain_text import FULL_WIDTH

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"\s+|[{_HAN}]{{1,2}}|[^\s{_HAN}]+")
_CHINESE = re.compile(rf"[{_HAN}]")

_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_LOOK_ALIKE = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
"""Latin letters -> Cyrillic ones that look the same: another code, so another word to any tokenizer."""
_SIMPLIFIED = (
    "机电脑车裤无线蓝红绿黄银铁钢锅灯书笔纸门网丝绸长宽轻软净洁护肤妆儿婴宝贝乐医药养体运动鱼鸡鸭猫鸟龙马"
    "叶饼汤盐酱钟镜链环锁风热冻湿单双对号码块条个张盘帘柜砖画图声响听视频数键显写学习国东华师爱亲时间质优级"
    "专业经设计简约欧韩装饰园户"
)
_TRADITIONAL = (
    "機電腦車褲無線藍紅綠黃銀鐵鋼鍋燈書筆紙門網絲綢長寬輕軟淨潔護膚妝兒嬰寶貝樂醫藥養體運動魚雞鴨貓鳥龍馬"
    "葉餅湯鹽醬鐘鏡鏈環鎖風熱凍濕單雙對號碼塊條個張盤簾櫃磚畫圖聲響聽視頻數鍵顯寫學習國東華師愛親時間質優級"
    "專業經設計簡約歐韓裝飾園戶"
)
_OTHER_FORM = str.maketrans(_SIMPLIFIED + _TRADITIONAL, _TRADITIONAL + _SIMPLIFIED)
"""Common characters of shops' texts that are written in two ways -> the other one."""


def noised(text: str, kind: str, strength: float, seed: int) -> str:
    """Return a text with some of its units changed.

    Args:
        text: of any length and script.
        kind: ``typos``: a key beside the right one, a letter dropped, doubled, or swapped with the next (Chinese
            characters: the last three). ``order``: a unit swapped with the next. ``script``: a unit in full-width
            letters or with look-alike ones (Chinese characters: in the other of traditional and simplified, where they
            are common in shops).
        strength: chance of each unit to be changed, 0 to 1; for ``order``, of each two neighbours to be swapped. 0
            changes nothing.
        seed: another seed, other changes.
    """
    if not text or strength <= 0:
        return text
    digest = hashlib.blake2b(f"{seed}:{kind}:{text}".encode(), digest_size=8).digest()
    # Of Random only what is promised to be the same in every version of Python.
    draw = random.Random(int.from_bytes(digest)).random
    parts = _UNIT.findall(text)
    places = [place for place, part in enumerate(parts) if not part.isspace()]
    if kind == "order":
        _swap_neighbours(parts, places, strength, draw)
    else:
        change = _CHANGES[kind]
        for place in places:
            if draw() < strength:
                parts[place] = change(parts[place], draw)
    return "".join(parts)


def units(text: str) -> list[str]:
    """Return the words of a text; runs of Chinese characters fall into pairs."""
    return [part for part in _UNIT.findall(text) if not part.isspace()]


def noised_share(text: str, share: float, strength: float, seed: int) -> str:
    """Return a text with noise of some kind if it is one of a share of all texts, else as it is.

    Args:
        text: of any length and script.
        share: of texts that are noised, chosen by hash.
        strength: of their noise.
        seed: of the choice and the noise.
    """
    digest = hashlib.blake2b(f"{seed}:share:{text}".encode(), digest_size=16).digest()
    if int.from_bytes(digest[:8]) >= share * 2**64:
        return text
    return noised(text, KINDS[int.from_bytes(digest[8:]) % len(KINDS)], strength, seed)


def _swap_neighbours(parts: list[str], places: list[int], strength: float, draw: Callable[[], float]) -> None:
    """Let some units and the next ones change places; none moves twice."""
    at = 0
    while at < len(places) - 1:
        if draw() < strength:
            one, other = places[at], places[at + 1]
            parts[one], parts[other] = parts[other], parts[one]
            at += 1
        at += 1


def _slip(unit: str, draw: Callable[[], float]) -> str:
    """Return a unit with one slip of the fingers at one place."""
    at = int(draw() * len(unit))
    letter, way = unit[at], draw()
    beside = _BESIDE.get(letter.lower(), "")
    if beside and way < 0.25:
        key = beside[int(draw() * len(beside))]
        return unit[:at] + (key.upper() if letter.isupper() else key) + unit[at + 1 :]
    if len(unit) > 1 and way < 0.5:
        return unit[:at] + unit[at + 1 :]
    if len(unit) > 1 and way < 0.75:
        at = min(at, len(unit) - 2)
        return unit[:at] + unit[at + 1] + unit[at] + unit[at + 2 :]
    return unit[:at] + letter + unit[at:]


def _keys() -> dict[str, str]:
    """Return key -> the keys beside it in its row, and in the rows above and below."""
    beside = {}
    for row, keys in enumerate(_ROWS):
        for column, key in enumerate(keys):
            near = [(row, column - 1), (row, column + 1), (row - 1, column), (row - 1, column + 1), (row + 1, column)]
            beside[key] = "".join(_ROWS[r][c] for r, c in near if 0 <= r < len(_ROWS) and 0 <= c < len(_ROWS[r]))
    return beside


_BESIDE = _keys()


def _other_script(unit: str, draw: Callable[[], float]) -> str:
    """Return a unit that looks nearly the same and is spelled in other characters."""
    wide, mixed = draw() < 0.5, unit.translate(_LOOK_ALIKE)
    if _CHINESE.match(unit):
        return unit.translate(_OTHER_FORM)
    if mixed != unit and not wide:
        return mixed
    return "".join(chr(ord(one) + FULL_WIDTH) if "!" <= one <= "~" else one for one in unit)


_CHANGES: dict[str, Callable[[str, Callable[[], float]], str]] = {"typos": _slip, "script": _other_script}
KINDS = ("typos", "order", "script")
"""Kinds of noise."""
