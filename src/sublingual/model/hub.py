"""The Hugging Face Hub, asked once whether it is there: its library tries each file for a minute before it gives up."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants, get_session
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not in its __all__

PATIENCE = 10.0  # seconds for the one request


def is_reachable() -> bool:
    """Whether the Hub answers; False, without asking, where the user has switched it off (HF_HUB_OFFLINE)."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # the library's HTTP client has its own errors, another client's from release to release
        return False
    return True


def only_cached(name: str) -> bool:
    """Whether the library should look for `name` in its cache alone: no folder here, and the Hub cannot be reached.

    Raises ValueError for a name that no repository can have.
    """
    if Path(name).is_dir():
        return False
    validate_repo_id(name)
    return not is_reachable()
