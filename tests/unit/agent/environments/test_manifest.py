"""What the author of a manifest gets: an environment, or an error with the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from madang.agent.environments.manifest import (
    BadManifest,
    Manifest,
    Variant,
    builtin_manifests,
    python_matches,
    read_manifest,
    read_manifests,
)
from madang.domain.errors import InvalidInput


def write(directory: Path, text: str, name: str = "tiny") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.toml"
    path.write_text(text)
    return path


def test_the_environments_that_come_with_madang_are_valid() -> None:
    manifests = read_manifests([builtin_manifests()])
    assert {"python", "pytorch"} <= manifests.keys()
    assert all(isinstance(manifest, Manifest) and manifest.description for manifest in manifests.values())


def test_a_full_manifest_is_read(tmp_path: Path) -> None:
    manifest = read_manifest(
        write(
            tmp_path,
            """
            name = "vision"
            description = "Pictures"
            python = ">=3.11, <3.14"
            packages = ["torch", "numpy>=2"]
            indexes = ["https://mirror.example/simple"]
            find-links = ["/srv/wheels"]
            variables = { OMP_NUM_THREADS = "2" }
            [cpu]
            packages = ["Torch==2.13.0"]
            [cuda]
            packages = ["cupy"]
            find-links = ["/srv/cuda"]
            """,
        )
    )
    assert (manifest.name, manifest.python) == ("vision", ">=3.11,<3.14")
    assert manifest.recipe_for(Variant.CPU).packages == ("numpy>=2", "Torch==2.13.0")
    cuda = manifest.recipe_for(Variant.CUDA)
    assert cuda.packages == ("torch", "numpy>=2", "cupy")
    assert cuda.find_links == ("/srv/cuda", "/srv/wheels")
    assert dict(manifest.variables) == {"OMP_NUM_THREADS": "2"}


def test_the_name_is_the_file_name_unless_given(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, "packages = []")).name == "tiny"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("packages = [", "TOML"),
        ("", "packages"),
        ("packages = 'numpy'", "packages"),
        ("packages = [1]", "packages"),
        ("packages = ['']", "packages"),
        ("packages = ['numpy >=> 2']", "packages"),
        ("packages = ['--index-url=http://x']", "packages"),
        ("packages = ['../mine']", "packages"),
        ("packages = []\npackage = []", "package"),
        ("packages = []\nname = 'Not a name'", "name"),
        ("packages = []\nname = 3", "name"),
        ("packages = []\ndescription = []", "description"),
        ("packages = []\npython = 'snake'", "python"),
        ("packages = []\npython = '3.x'", "python"),
        ("packages = []\nindexes = ['mirror']", "indexes"),
        ("packages = []\nindexes = ['http://a b/']", "indexes"),
        ("packages = []\nfind-links = ['wheels']", "find-links"),
        ("packages = []\nvariables = { '1X' = 'a' }", "variables"),
        ("packages = []\nvariables = { X = 1 }", "variables.X"),
        ("packages = []\nvariables = { PATH = '/bin' }", "variables.PATH"),
        ("packages = []\ncpu = []", "cpu"),
        ("packages = []\n[cpu]\npackages = ['a b c']", "cpu.packages"),
        ("packages = []\n[cuda]\npython = '3.12'", "cuda.python"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidInput) as caught:
        read_manifest(path)
    assert str(path) in caught.value.message
    assert key in caught.value.message


def test_later_directories_override_earlier_ones_and_a_bad_one_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path / "a", "packages = ['numpy']", "one")
    write(tmp_path / "a", "packages = ['pandas']", "two")
    write(tmp_path / "b", "packages = ['scipy']", "two")
    write(tmp_path / "b", "packages = 1", "three")
    manifests = read_manifests([tmp_path / "a", tmp_path / "b", tmp_path / "missing"])
    assert list(manifests) == ["one", "three", "two"]
    assert isinstance(manifests["three"], BadManifest)
    two = manifests["two"]
    assert isinstance(two, Manifest)
    assert two.recipe.packages == ("scipy",)


def test_two_manifests_of_one_name_beside_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "name = 'same'\npackages = []", "a")
    write(tmp_path, "name = 'same'\npackages = []", "b")
    same = read_manifests([tmp_path])["same"]
    assert isinstance(same, BadManifest)
    assert "another manifest" in same.error.message


@pytest.mark.parametrize(
    ("request_", "version", "fits"),
    [
        ("", "3.11.7", True),
        ("3.11", "3.11.7", True),
        ("3.1", "3.11.7", False),
        ("3.11.7", "3.11.7", True),
        (">=3.11,<3.13", "3.12.1", True),
        (">=3.11,<3.13", "3.13.0", False),
    ],
)
def test_which_python_fits(request_: str, version: str, fits: bool) -> None:
    assert python_matches(request_, version) is fits
