"""What people ask for in slots is read as devices, and what makes no sense is refused with what to do."""

from __future__ import annotations

import pytest

from madang.domain.devices import Claim, claim_of, counted, parse_models
from madang.domain.errors import InvalidSlots


@pytest.mark.parametrize(
    ("slots", "models", "claim"),
    [
        ({"cuda.shares": 300}, (), Claim("cuda", 1, 300)),
        ({"cuda.shares": 1000}, (), Claim("cuda", 1, 1000)),
        ({"cuda.shares": 2000}, (), Claim("cuda", 2, 1000)),
        ({"rocm.device": 2, "cpu": 1000}, ("MI300", "MI250"), Claim("rocm", 2, 1000, ("MI250", "MI300"))),
        ({"cuda.device": 1, "cuda.shares": 0}, ("A100", "A100"), Claim("cuda", 1, 1000, ("A100",))),
        ({"cpu": 1000, "licence.seats": 2}, (), None),
        ({"cuda.device": 0}, (), None),
    ],
)
def test_slots_are_read_as_devices(slots: dict[str, int], models: tuple[str, ...], claim: Claim | None) -> None:
    assert claim_of(slots, models) == claim


@pytest.mark.parametrize(
    ("slots", "models", "advice"),
    [
        ({"cuda.shares": 1500}, (), "ask for 1 or 2 whole"),
        ({"cuda.shares": 300, "cuda.device": 1}, (), "not both"),
        ({"cuda.device": 1, "tpu.device": 1}, (), "one kind"),
        ({"cpu": 1000}, ("A100",), "leave the model out"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(
    slots: dict[str, int], models: tuple[str, ...], advice: str
) -> None:
    with pytest.raises(InvalidSlots, match=advice):
        claim_of(slots, models)


def test_counted_slots_are_what_is_left_without_devices() -> None:
    assert counted({"cpu": 1000, "mem": 0, "cuda.shares": 300, "tpu.device": 1, "fpga": 2}) == {"cpu": 1000, "fpga": 2}


def test_models_are_read_as_people_write_them() -> None:
    assert parse_models(" H100 |A100|H100") == ("A100", "H100")
    with pytest.raises(InvalidSlots, match="A100"):
        parse_models("A100|")


def test_a_claim_allows_its_models_in_any_case_and_any_model_without_one() -> None:
    claim = Claim("cuda", 1, 1000, ("A100", "RTX 4090"))
    assert claim.allows("a100")
    assert claim.allows("RTX 4090")
    assert not claim.allows("H100")
    assert Claim("cuda", 1, 1000).allows("H100")
