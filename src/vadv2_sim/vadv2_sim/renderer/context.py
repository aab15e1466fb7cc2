"""The OpenGL context: EGL without a display, on a GPU or on Mesa's software rasteriser."""

from __future__ import annotations

import threading
from typing import Any

from vadv2_core.errors import InputError

EGL_PACKAGES = "libegl1 libgl1 libegl-mesa0 libgl1-mesa-dri"
"""What apt must install where EGL is missing."""

_local = threading.local()


def open_context() -> Any:
    """This thread's moderngl context; made at the first call (a context belongs to the thread that made it).

    Raises:
        InputError: where EGL or an OpenGL 3.3 driver is missing, naming the apt packages.
    """
    context = getattr(_local, "context", None)
    if context is not None:
        return context
    expected = f"an OpenGL 3.3 driver; apt install {EGL_PACKAGES}"
    try:
        import moderngl

        options: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 330}
        context = moderngl.create_context(**options)
    # moderngl and glcontext raise ImportError, OSError, ValueError or a bare Exception, by where EGL breaks.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"EGL cannot be opened: {reason}", "renderer", expected) from None
    _local.context = context
    return context
