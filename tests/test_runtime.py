"""Devices, precisions, and the record of the machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

import pytest
import torch

from sublingual import runtime
from sublingual.errors import ConfigError

CPU = torch.device("cpu")


def test_devices_have_torch_s_names() -> None:
    assert runtime.device("cpu") == CPU
    assert runtime.device("auto") == torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def test_auto_is_the_first_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runtime.device() == torch.device("cuda:0")
    assert runtime.device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"device 'cuda:2': this machine has 2 GPUs; use --device cpu or auto"):
        runtime.device("cuda:2")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name in ("cuda", "cuda:0"):
        with pytest.raises(ConfigError, match=rf"device '{name}': this machine has 0 GPUs"):
            runtime.device(name)


@pytest.mark.parametrize("name", ["gpu", "CUDA", "", "cuda:-1", "meta", "mps", " cpu"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown device '{name}'; auto, cpu and cuda:0"):
        runtime.device(name)


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"architecture": "x86_64", "cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"architecture": "x86_64", "cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, False),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
        ({"architecture": "aarch64", "neon": True, "bf16": False, "fp16_arith": True}, False),
        ({}, False),
    ],
)
def test_auto_is_bf16_only_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, object], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert runtime.has_fast_bf16(CPU) is fast
    assert runtime.resolve_precision("auto", CPU) == ("bf16" if fast else "fp32")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert runtime.resolve_precision("auto", CPU) == "fp32"


def test_a_torch_that_cannot_tell_gives_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert runtime.resolve_precision("auto", CPU) == "fp32"


def test_a_precision_that_is_named_is_taken() -> None:
    assert [runtime.resolve_precision(name, CPU) for name in ("fp32", "bf16")] == ["fp32", "bf16"]


@pytest.mark.parametrize("name", ["fp16", "float32", "", "BF16"])
def test_unknown_precisions_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown precision '{name}'; allowed: auto, fp32, bf16"):
        runtime.resolve_precision(name, CPU)
    with pytest.raises(ConfigError, match="unknown precision"):
        runtime.autocast(CPU, precision=name)


def test_products_run_in_the_precision_and_parameters_stay_fp32() -> None:
    layer = torch.nn.Linear(2, 2)
    x = torch.ones(1, 2)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with runtime.autocast(CPU, precision=precision):
            assert layer(x).dtype == dtype
        assert layer.weight.dtype == torch.float32
    assert layer(x).dtype == torch.float32


def test_keeping_memory_changes_no_result() -> None:
    before = torch.arange(10**6, dtype=torch.float64).sum()
    runtime.keep_memory()
    runtime.keep_memory()
    assert torch.arange(10**6, dtype=torch.float64).sum() == before == 10**6 * (10**6 - 1) / 2


def test_the_record_names_versions_and_machine() -> None:
    versions, machine = runtime.versions(), runtime.machine()
    assert versions["python"] == platform.python_version()
    assert {name: versions[name] for name in ("torch", "numpy")} == {n: version(n) for n in ("torch", "numpy")}
    assert machine["threads"] == torch.get_num_threads()
    assert machine["cpu"] == torch.backends.cpu.get_cpu_capability()


def test_a_package_that_is_not_there_is_recorded_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_PACKAGES", ("torch", "no-such-package"))
    assert runtime.versions()["no-such-package"] == "not installed"
