"""Names of models: exact ones, aliases, beginnings up to a hyphen, and nothing that is a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from sublingual.errors import ConfigError, ModelError
from sublingual.service.limits import Limits
from sublingual.service.offers import Offer, Offers, offers, with_kept


def offer(name: str, *aliases: str) -> Offer:
    return Offer(name, aliases, Path("."), "unknown")


FAROESE = offer("faroese-oft-ud-2.17", "fo_oft-ud-2.17", "fo", "fao")
OTHER = offer("faroese-farpahc-ud-2.17", "fo", "faroese")
WELSH = offer("cy")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("faroese-oft-ud-2.17", FAROESE),
        ("faroese-oft", FAROESE),
        ("fo_oft-ud", FAROESE),
        ("fo", FAROESE),  # an alias of both: the first has it
        ("faroese", OTHER),  # a whole name goes before a beginning
        ("faroese-farpahc", OTHER),
        ("cy", WELSH),
        ("faroese-o", None),
        ("Faroese", None),
        ("", None),
    ],
)
def test_models_are_found_by_names_aliases_and_beginnings(name: str, expected: Offer | None) -> None:
    assert Offers((FAROESE, OTHER, WELSH)).find(name) is expected


def test_first_model_is_the_default() -> None:
    assert Offers((WELSH, FAROESE)).default is WELSH


def test_folders_become_offers_with_names_of_their_language_and_licences(folders: dict[str, Path]) -> None:
    found = offers([f"a:b={folders['en']}", str(folders["fo"])])
    assert [(o.name, o.aliases) for o in found.models] == [("a", ("b",)), ("fo-mine", ("fo", "fao", "faroese"))]
    assert [o.licence for o in found.models] == ["CC BY-SA 4.0; CC BY-NC-SA 4.0", "unknown"]


def test_folder_with_an_equals_sign_is_a_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "a=b").symlink_to(folders["en"])
    assert offers([str(tmp_path / "a=b")]).default.folder == tmp_path / "a=b"


def test_what_cannot_be_offered_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two models are called 'a'; name them apart: other-name=FOLDER"):
        offers([f"a={folders['en']}", f"a={folders['fo']}"])
    with pytest.raises(ConfigError, match="a name is empty; write NAME:ALIAS=FOLDER"):
        offers([f"a:={folders['en']}"])
    with pytest.raises(ConfigError, match="no model to serve; name one or more folders"):
        offers([])
    with pytest.raises(
        ModelError, match=r"has no manifest\.json: it is no model; name the folder that adapt or train wrote"
    ):
        offers([str(tmp_path)])
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"manifest\.json cannot be read \('about'\); get the model anew"):
        offers([str(tmp_path)])


def test_models_of_the_page_are_offered_after_the_others(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("b", "a", "c", "damaged"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_bytes((folders["fo"] / "manifest.json").read_bytes())
    (tmp_path / "damaged" / "manifest.json").write_text("{}", encoding="utf-8")
    (tmp_path / "nothing").mkdir()
    given = offers([f"b={folders['en']}", f"x={tmp_path / 'c'}"])
    assert [offer.name for offer in with_kept(given, tmp_path).models] == ["b", "x", "a"]
    assert with_kept(given, tmp_path / "not there").models == given.models


def test_limits_are_above_zero() -> None:
    with pytest.raises(ConfigError, match="limit queue=0: it is above 0"):
        Limits(queue=0)
