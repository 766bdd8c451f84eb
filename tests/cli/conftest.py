"""The command line run in this process, as the program `sublingual` runs it, and a small parser made by it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from sublingual.cli import main
from sublingual.data.conllu import Sentence, write_conllu
from sublingual.data.embedded import embedded_folder

FEW = ("--steps", "3", "--set", "finetune.batch=4", "--set", "parser.arc_size=24", "--set", "parser.label_size=12")


@dataclass(frozen=True)
class Ran:
    """What a command gave: exit code, standard output as bytes, standard error."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode("utf-8")

    @property
    def last(self) -> str:
        """The last line of standard error: an error's only one."""
        return self.err.rstrip("\n").rpartition("\n")[2]


Run = Callable[..., Ran]


def invoke(*args: object, stdin: bytes = b"") -> Ran:
    """Runs `sublingual ARGS`; an exception that `main` lets through is the test's."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    words = ["sublingual", *map(str, args)]
    with (
        patch.object(sys, "argv", words),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    for stream in (out, err):
        stream.flush()
    code = end.value.code
    assert code is None or isinstance(code, int)
    return Ran(code or 0, out.buffer.getvalue(), err.buffer.getvalue().decode("utf-8"))  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def run() -> Run:
    return invoke


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the releases and base parsers of the person who runs it."""
    monkeypatch.setenv("SUBLINGUAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUBLINGUAL_UD", raising=False)


@pytest.fixture(scope="session")
def ud_folder() -> Path:
    """The embedded treebanks, which are laid out like a UD release."""
    return embedded_folder()


@pytest.fixture(scope="session")
def english(demo: Callable[..., list[Sentence]]) -> list[Sentence]:
    return demo("English")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, ud_folder: Path) -> Path:
    """A parser that `sublingual train` made; tests do not write into it."""
    out = tmp_path_factory.mktemp("models") / "en"
    ran = invoke("train", out, "UD_English-Demo", "--ud", ud_folder, "--encoder", tiny_encoder, "--seed", 5, *FEW)
    assert ran.code == 0, ran.err
    return out


@pytest.fixture
def conllu(tmp_path: Path) -> Callable[..., Path]:
    """Writes sentences, or text as it is, into a file."""

    def write(content: list[Sentence] | str, name: str = "file.conllu") -> Path:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_bytes(content.encode("utf-8"))
        else:
            write_conllu(content, path)
        return path

    return write


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the next training runs interrupted, as by Ctrl-C, after that step."""

    def set_up(step: int) -> None:
        @contextmanager
        def bar(_: str) -> Iterator[Callable[[object], None]]:
            def update(now: object) -> None:
                if getattr(now, "step") == step:  # noqa: B009
                    raise KeyboardInterrupt

            yield update

        monkeypatch.setattr("sublingual.cli.base.training_bar", bar)

    return set_up
