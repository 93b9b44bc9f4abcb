"""What models may be told of a user, by name: the words of ``towers.reads`` and ``ranking.reads``."""

TOWER_READS = ("behaviour", "searches", "profile")
RANKER_READS = ("profile", "intent", "associations")
