"""How often, how long and how much is measured."""

FULL_SHARE_MB = 1769  # Lambda developer guide, memory: that much is one processor.
MEMORIES = [None, 128, 256, 512]


class Shape:
    """The numbers of a run; a quick one says that the bench works and not much more."""

    def __init__(self, quick: bool, pair: bool):
        self.quick = quick
        # Two builds differ by less than a function and its peers do.
        self.rounds = 3 if quick else 25 if pair else 9
        self.slow = 1 if quick else 3  # Rounds of what takes many seconds each.
        self.memories: list[int | None] = [None, 128] if quick else MEMORIES[:3] if pair else MEMORIES
        # Seconds of CREATING, and how many streams one instance follows, one after the other; so many instances.
        self.waits: list[tuple[float, int]] = [(0.5, 4), (5, 3)] if quick else [(0.5, 10), (5, 6), (30, 5), (120, 4)]
        self.instances = 1 if quick else 2
        self.apart = 5  # Seconds between two streams that one instance follows.
        self.waiting = (10, 5) if quick else (50, 30)  # Streams at once, and seconds of CREATING.
        self.streams = 100 if quick else 1000
        self.audits = 1 if quick else 3
        # Accounts, and the few and the many streams in them.
        self.organization = (50, 100, 2_000) if quick else (1_000, 1_000, 100_000)
        self.impacts = 5 if quick else 50  # Streams of one run of `impact`.
