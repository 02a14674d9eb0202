"""One seed per purpose: every random draw of the lab is a pure function of the run's seed, the epoch and a name.

Nothing depends on how many numbers were drawn before, so a run that was killed resumes at an epoch with exactly
the draws that the uninterrupted run would have made, and loader processes draw what the main process would.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """Hash the parts into an independent seed, the same on every machine and Python version.

    Args:
        parts: for example ``(seed, epoch, "order")``.

    Returns:
        An integer in [0, 2**63).
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "little") >> 1


def seeded_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded with :func:`derive_seed` of the parts."""
    return torch.Generator().manual_seed(derive_seed(*parts))
