"""Folders where data sets lie: the one that `MATRINOX_DATA` names, and the cache of what was downloaded."""

import os
from pathlib import Path


def data_folder() -> Path | None:
    """The folder of the user's own copies, named by the environment variable `MATRINOX_DATA`; nothing is written there.

    **Returns:** the folder, or `None` where the variable is not set.
    **Raises:** `NotADirectoryError` if it names no folder.
    """
    named = os.environ.get("MATRINOX_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise NotADirectoryError(
            f"the environment variable MATRINOX_DATA (={named!r}) must name a folder that exists: "
            "create it, or unset the variable."
        )
    return folder


def cache_folder() -> Path | None:
    """The folder that downloads go to: what `MATRINOX_CACHE` names, or the platform's, such as `~/.cache/matrinox`.

    **Returns:** the folder, which may not exist yet, or `None` without the variable and without pooch, which knows the
    platforms.
    """
    named = os.environ.get("MATRINOX_CACHE")
    if named:
        return Path(named).expanduser()
    try:
        from pooch import os_cache
    except ImportError:
        return None
    return os_cache("matrinox")
