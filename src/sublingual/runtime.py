"""Device, precision, threads, memory: what a run asks of the machine, and the record of what it got."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version

import torch

from sublingual.errors import ConfigError

PRECISIONS = ("auto", "fp32", "bf16")
_PACKAGES = ("sublingual", "torch", "transformers", "tokenizers", "numpy", "safetensors")
_UNKNOWN_DEVICE = "unknown device {!r}; auto, cpu and cuda:0 (or another number) are allowed"
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's mallopt


def device(name: str = "auto") -> torch.device:
    """Returns the device of that name; `auto` is the first GPU, else the CPU. Raises ConfigError where it is not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError as fault:
        raise ConfigError(_UNKNOWN_DEVICE.format(name)) from fault
    if found.type not in ("cpu", "cuda"):
        raise ConfigError(_UNKNOWN_DEVICE.format(name))
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {name!r}: this machine has {torch.cuda.device_count()} GPUs; use --device cpu or auto"
        )
    return found


def has_fast_bf16(where: torch.device) -> bool:
    """Whether the processor multiplies bf16 faster than fp32; emulated, it is several times slower.

    torch uses such instructions through oneDNN alone, which its macOS builds lack; `bf16` is their name on ARM. Intel's
    processors multiply it fast in AMX alone: without, training in fp32 is 1.6 times as fast (docs/log.md, 2026-11-27).
    """
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    is_intel = str(found.get("cpu_name", "")).startswith("Intel")
    names = ("amx_bf16", "bf16") if is_intel else ("amx_bf16", "bf16", "avx512_bf16")
    return any(found.get(name, False) for name in names)


def resolve_precision(precision: str, where: torch.device) -> str:
    """Returns fp32 or bf16: `auto` is bf16 where the processor has it. Raises ConfigError for another name."""
    if precision not in PRECISIONS:
        raise ConfigError(f"unknown precision {precision!r}; allowed: {', '.join(PRECISIONS)}")
    if precision == "auto":
        return "bf16" if has_fast_bf16(where) else "fp32"
    return precision


def autocast(where: torch.device, *, precision: str) -> AbstractContextManager[object]:
    """Returns the context in which matrix products run in the precision (parameters stay fp32)."""
    if resolve_precision(precision, where) == "fp32":
        return nullcontext()
    return torch.autocast(where.type, dtype=torch.bfloat16)


@contextmanager
def forked_random(where: torch.device) -> Iterator[None]:
    """Inside, torch's random state may be seeded and drawn from; after it, it is as before."""
    with torch.random.fork_rng(devices=[where.index or 0] if where.type == "cuda" else []):
        yield


def keep_memory() -> None:
    """Tells glibc to keep freed memory for the next step; without it each step maps and clears its pages anew."""
    if _has_glibc():
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def give_back_memory() -> None:
    """Has glibc give freed memory back to the system, for a service that goes on after a model was loaded or adapted."""
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def versions() -> dict[str, str]:
    """Returns the versions of what decides a result, by package name."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, str | int]:
    """Returns what the bits of a result depend on besides the seed: processor, instruction set, threads."""
    return {
        "platform": platform.platform(terse=True),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
