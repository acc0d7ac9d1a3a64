"""ft's library: the network, its training, and separation without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftcore.errors import FtError

if TYPE_CHECKING:
    from ftcore.separator import Separator

__all__ = ["FtError", "Separator", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # deferred, so that importing a small part of ftcore does not load the audio libraries
    if name == "Separator":
        from ftcore.separator import Separator

        return Separator
    raise AttributeError(name)
