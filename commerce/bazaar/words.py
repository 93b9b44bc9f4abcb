"""The shop's words in English and Chinese: what titles and queries are made of.

A pair is (English, Chinese) everywhere; ``ENGLISH`` and ``CHINESE`` index it.
"""

from __future__ import annotations

ENGLISH, CHINESE = 0, 1

Pair = tuple[str, str]

DEPARTMENTS: tuple[tuple[Pair, tuple[Pair, ...]], ...] = (
    (
        ("Sports", "运动户外"),
        (
            ("running shoes", "跑步鞋"),
            ("yoga mat", "瑜伽垫"),
            ("sports socks", "运动袜"),
            ("water bottle", "运动水壶"),
            ("camping tent", "露营帐篷"),
        ),
    ),
    (
        ("Electronics", "数码家电"),
        (
            ("camera", "照相机"),
            ("tripod", "三脚架"),
            ("headphones", "头戴耳机"),
            ("phone case", "手机壳"),
            ("power bank", "充电宝"),
        ),
    ),
    (
        ("Kitchen", "厨房用品"),
        (
            ("coffee machine", "咖啡机"),
            ("coffee beans", "咖啡豆"),
            ("frying pan", "平底锅"),
            ("chef knife", "主厨刀"),
            ("tea pot", "茶壶"),
        ),
    ),
    (
        ("Beauty", "美妆个护"),
        (
            ("shampoo", "洗发水"),
            ("face cream", "面霜"),
            ("lipstick", "口红"),
            ("hair dryer", "吹风机"),
            ("perfume", "香水"),
        ),
    ),
    (
        ("Home", "家居生活"),
        (
            ("desk lamp", "台灯"),
            ("bed sheets", "床单"),
            ("scented candle", "香薰蜡烛"),
            ("storage box", "收纳箱"),
            ("carpet", "地毯"),
        ),
    ),
    (
        ("Fashion", "服饰鞋包"),
        (
            ("winter coat", "冬季大衣"),
            ("silk scarf", "围巾"),
            ("backpack", "双肩包"),
            ("summer dress", "连衣裙"),
            ("sunglasses", "太阳镜"),
        ),
    ),
    (
        ("Family", "母婴宠物"),
        (
            ("baby stroller", "婴儿推车"),
            ("diapers", "纸尿裤"),
            ("cat food", "猫粮"),
            ("toy blocks", "积木玩具"),
            ("dog leash", "狗绳"),
        ),
    ),
    (
        ("Office", "办公文具"),
        (
            ("fountain pen", "钢笔"),
            ("notebook", "笔记本"),
            ("office chair", "办公椅"),
            ("printer ink", "打印机墨水"),
            ("wall calendar", "挂历"),
        ),
    ),
)

LEAVES: tuple[Pair, ...] = tuple(leaf for _, leaves in DEPARTMENTS for leaf in leaves)
"""Leaf categories by code."""
DEPARTMENT_OF_LEAF: tuple[int, ...] = tuple(number for number, (_, leaves) in enumerate(DEPARTMENTS) for _ in leaves)
"""Department code of each leaf."""

CONSUMABLES: tuple[str, ...] = (
    "coffee beans",
    "shampoo",
    "face cream",
    "diapers",
    "cat food",
    "printer ink",
    "scented candle",
    "sports socks",
)
"""Leaves (English) whose items are used up and bought again."""

COMPLEMENTS: tuple[tuple[str, str], ...] = (
    ("running shoes", "sports socks"),
    ("sports socks", "water bottle"),
    ("yoga mat", "water bottle"),
    ("water bottle", "yoga mat"),
    ("camping tent", "power bank"),
    ("camera", "tripod"),
    ("tripod", "backpack"),
    ("headphones", "phone case"),
    ("phone case", "power bank"),
    ("power bank", "headphones"),
    ("coffee machine", "coffee beans"),
    ("coffee beans", "tea pot"),
    ("frying pan", "chef knife"),
    ("chef knife", "frying pan"),
    ("tea pot", "coffee machine"),
    ("shampoo", "hair dryer"),
    ("face cream", "lipstick"),
    ("lipstick", "perfume"),
    ("hair dryer", "shampoo"),
    ("perfume", "silk scarf"),
    ("desk lamp", "office chair"),
    ("bed sheets", "carpet"),
    ("scented candle", "bed sheets"),
    ("storage box", "toy blocks"),
    ("carpet", "desk lamp"),
    ("winter coat", "silk scarf"),
    ("silk scarf", "winter coat"),
    ("backpack", "notebook"),
    ("summer dress", "sunglasses"),
    ("sunglasses", "summer dress"),
    ("baby stroller", "diapers"),
    ("diapers", "face cream"),
    ("cat food", "storage box"),
    ("toy blocks", "baby stroller"),
    ("dog leash", "cat food"),
    ("fountain pen", "printer ink"),
    ("notebook", "fountain pen"),
    ("office chair", "wall calendar"),
    ("printer ink", "notebook"),
    ("wall calendar", "dog leash"),
)
"""What a shopper needs next after buying from a leaf."""

BRANDS: tuple[Pair, ...] = (
    ("Aurora", "极光"),
    ("Bluepeak", "蓝峰"),
    ("Cedarly", "雪松记"),
    ("Dunehill", "沙丘"),
    ("Everfox", "恒狐"),
    ("Fjordline", "峡湾"),
    ("Goldleaf", "金叶"),
    ("Harborx", "海港"),
    ("Ironoak", "铁橡"),
    ("Jadeway", "玉道"),
    ("Kitewing", "风筝"),
    ("Lumora", "流明"),
    ("Mossfield", "青苔"),
    ("Northkin", "北亲"),
    ("Opaline", "欧泊"),
    ("Pinehart", "松心"),
    ("Quillon", "羽笔"),
    ("Riverton", "河畔"),
    ("Silverbay", "银湾"),
    ("Tigerlily", "虎百合"),
    ("Umbrio", "暗影"),
    ("Velvetia", "丝绒"),
    ("Willowby", "柳岸"),
    ("Zenkai", "全开"),
)

STYLES: tuple[tuple[Pair, Pair], ...] = (
    (("minimalist", "极简"), ("clean-line", "简约")),
    (("vintage", "复古"), ("retro", "怀旧")),
    (("sporty", "运动风"), ("athletic", "活力")),
    (("luxury", "奢华"), ("premium", "高级")),
    (("cute", "可爱"), ("playful", "萌系")),
    (("industrial", "工业风"), ("rugged", "硬朗")),
    (("natural", "自然"), ("organic", "原生态")),
    (("futuristic", "未来感"), ("high-tech", "科技感")),
)
"""Two words for each style; a title uses either."""

MATERIALS: tuple[Pair, ...] = (
    ("cotton", "棉质"),
    ("bamboo", "竹制"),
    ("steel", "钢制"),
    ("ceramic", "陶瓷"),
    ("recycled", "再生材料"),
    ("leather", "皮革"),
)

COLOURS: tuple[Pair, ...] = (
    ("black", "黑色"),
    ("white", "白色"),
    ("red", "红色"),
    ("navy", "藏青"),
    ("green", "绿色"),
    ("amber", "琥珀色"),
)

SELLER_GROUPS: tuple[str, ...] = ("flagship", "marketplace", "independent")

AGE_BANDS: tuple[str, ...] = ("18-24", "25-34", "35-44", "45-59", "60+")
REGIONS: tuple[str, ...] = ("north", "south", "east", "west", "centre", "islands")
GENDERS: tuple[str, ...] = ("f", "m", "x")


def leaf_code(english: str) -> int:
    """Return the code of the leaf with this English name."""
    return [name for name, _ in LEAVES].index(english)


def complement_of_leaf() -> list[int]:
    """Return, for each leaf, the code of the leaf that complements it."""
    pairs = {leaf_code(first): leaf_code(second) for first, second in COMPLEMENTS}
    return [pairs[leaf] for leaf in range(len(LEAVES))]
