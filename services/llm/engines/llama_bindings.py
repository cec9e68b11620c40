"""llama.cpp's C functions, from llama-cpp-python's ctypes bindings without the rest of that package."""

import ctypes
import importlib
import importlib.util
import os
import sys
import types
from collections import deque
from typing import Any

_PACKAGE = "llama_cpp"
_LEVEL_ERROR = 4  # ggml_log_level

_bindings: Any = None
_on_log: Any = None
_errors: deque[str] = deque(maxlen=4)


def load_bindings() -> Any:
    """The module of C functions, its library initialised; its log goes nowhere but to `last_errors`."""
    global _bindings, _on_log
    if _bindings is None:
        # GNU OpenMP's threads otherwise spin at every barrier, several hundred a token: beside a busy recogniser on
        # the same cores that costs five times the CPU and nine tenths of the speed.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # Its own backtrace of a failed assertion is made by gdb, attached to this process.
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")
        _bindings = _import_without_package()
        _on_log = _bindings.llama_log_callback(_keep_error)
        _bindings.llama_log_set(_on_log, ctypes.c_void_p(0))
        _bindings.llama_backend_init()
    return _bindings


def last_errors() -> str:
    """What llama.cpp last complained of, then forgotten."""
    text = " ".join(line.strip() for line in _errors)
    _errors.clear()
    return text


def _import_without_package() -> Any:
    """Imports llama_cpp.llama_cpp, but not llama_cpp itself, which brings numpy and 14 MB that nothing here uses."""
    if _PACKAGE in sys.modules:
        return importlib.import_module(f"{_PACKAGE}.llama_cpp")
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("llama-cpp-python is not installed: uv sync --extra llm", name=_PACKAGE)
    stand_in = types.ModuleType(_PACKAGE)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = stand_in
    try:
        return importlib.import_module(f"{_PACKAGE}.llama_cpp")
    finally:
        del sys.modules[_PACKAGE]


def _keep_error(level: int, text: bytes, _user_data: Any) -> None:
    if level == _LEVEL_ERROR:
        _errors.append(text.decode("utf-8", "replace"))
