"""Models by name on the hub: whether they can be had, and under which licence."""

from __future__ import annotations

import urllib.error
import urllib.request

import huggingface_hub
from huggingface_hub import constants

from vadv2_core.errors import InputError

PATIENCE = 10.0
"""Seconds before an unreachable hub is called so; transformers alone would try for minutes."""


def require_reachable(name: str) -> None:
    """Ask the hub once for a model's configuration, unless it is told to work offline from its cache.

    Raises:
        InputError: where the hub does not answer, or has no such model.
    """
    if constants.HF_HUB_OFFLINE or isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str):
        return
    url = f"{constants.ENDPOINT}/{name}/resolve/main/config.json"
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        # A gated model answers 401 or 403 here and may still be had with the user's token.
        if error.code == 404:
            raise InputError("no such directory, and no such model on the hub", name, "either") from None
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        why = getattr(error, "reason", error)
        raise InputError(f"no such directory, and the hub does not answer ({why})", name, "either") from None


def hub_licence(name: str) -> str:
    """The licence that a hub model's card states."""
    try:
        card = huggingface_hub.model_info(name, timeout=PATIENCE).card_data
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError):
        return "not stated"
    stated = None if card is None else card.get("license_name") or card.get("license")
    return str(stated or "not stated")
