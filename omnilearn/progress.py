"""One bar for all long work: jets/s and time left, rank 0 only, quiet without a terminal."""

from tqdm import tqdm


def progress(total: int | None, title: str, unit: str = "jets", rank: int = 0) -> tqdm:
    """A bar over `total` units; silent on other ranks and when stderr is not a terminal."""
    return tqdm(
        total=total,
        desc=title,
        unit=f" {unit}",
        unit_scale=True,
        dynamic_ncols=True,
        disable=None if rank == 0 else True,
    )
