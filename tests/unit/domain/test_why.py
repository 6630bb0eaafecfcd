"""Reasons read as one sentence in every language."""

from __future__ import annotations

from typing import get_args

import pytest

from madang.domain.why import Language, Value, Why, WhyCode, sentence

_GROUP: dict[str, Value] = {"group": "v100"}
_TWO_GPUS: dict[str, Value] = {**_GROUP, "device": "GPU", "devices": 2, "node": "gpu-07"}
_KIM: dict[str, Value] = {"subject": "user", "name": "kim"}
_ONE_OF_TWO: dict[str, Value] = {"slots": "1 GPU", "slots_allowed": "2 GPU", "slots_held": "2 GPU"}
_PLACE: dict[str, Value] = {"position": 3, "of": 12}

EXAMPLES: dict[WhyCode, dict[str, Value]] = {
    WhyCode.SHORTAGE: {**_TWO_GPUS, "devices_free": 1, "slots": "4 cpu", "slots_free": "1 cpu"},
    WhyCode.GANG: {**_TWO_GPUS, "size": 4, "room": 3, "layout": "one-node"},
    WhyCode.BEHIND: _GROUP,
    WhyCode.FULL: {**_TWO_GPUS, "slots": "8 cpu"},
    WhyCode.KEPT: _GROUP,
    WhyCode.RESERVED: {**_GROUP, "name": "class", "until": "2026-11-23 12:00 UTC"},
    WhyCode.CALENDAR: {**_GROUP, "window": "day", "until": "2026-11-23 18:00 UTC"},
    WhyCode.QUOTA: {**_KIM, **_ONE_OF_TWO},
    WhyCode.BUDGET: {"project": "vision", "amount": "1000 KRW", "until": "2026-12-01 00:00 UTC"},
    WhyCode.GPU_HOURS: {**_KIM, "hours": "100", "until": "2026-12-01 00:00 UTC"},
    WhyCode.NO_ACCESS: {**_GROUP, "user": "kim", "project": "vision"},
    WhyCode.MAINTENANCE: {"until": "2026-11-23 18:00 UTC"},
    WhyCode.NOT_BEFORE: {"time": "2026-11-23 18:00 UTC"},
    WhyCode.AFTER: {"name": "prepare"},
    WhyCode.PREEMPTING: {**_GROUP, "count": 2},
    WhyCode.NO_NODE: _GROUP,
    WhyCode.NO_FEATURE: {**_GROUP, "feature": "network outbound"},
    WhyCode.NO_DEVICE: {**_GROUP, "device": "GPU", "models": "A100|H100"},
    WhyCode.TOO_LARGE: {**_TWO_GPUS, "devices_free": 1},
    WhyCode.DEPENDENCY_FAILED: {"name": "prepare", "state": "failed"},
    WhyCode.DEADLINE: {"time": "2026-11-23 18:00 UTC"},
}


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("code", list(WhyCode))
def test_every_reason_is_a_sentence_in_every_language(code: WhyCode, language: Language) -> None:
    told = sentence(Why(code, {**EXAMPLES[code], **_PLACE}), language)
    assert "?" not in told
    assert "{" not in told
    assert "\n" not in told
    for name, value in EXAMPLES[code].items():
        if name in ("name", "until", "time", "window", "feature", "models"):
            assert str(value) in told
    if language == "ko":
        assert told.removesuffix(" (대기 12개 중 3번째)").endswith("니다")
    else:
        assert told.endswith("; position 3 of 12")


def test_what_administrators_say_of_a_maintenance_is_told_in_the_language_there_is() -> None:
    both = Why(WhyCode.MAINTENANCE, {"message_en": "new\ndisks", "message_ko": "디스크 교체"})
    assert sentence(both) == "no session starts during the maintenance: new disks"
    assert sentence(both, "ko") == "점검 중이라 새로 시작하는 세션이 없습니다: 디스크 교체"
    assert sentence(Why(WhyCode.MAINTENANCE, {"message_en": "new disks"}), "ko").endswith("없습니다: new disks")


@pytest.mark.parametrize("language", get_args(Language))
def test_a_value_that_is_missing_breaks_nothing(language: Language) -> None:
    for code in WhyCode:
        assert sentence(Why(code), language)


@pytest.mark.parametrize(
    ("why", "english", "korean"),
    [
        (
            Why(WhyCode.SHORTAGE, {**_TWO_GPUS, "devices_free": 1, **_PLACE}),
            "needs 2 GPUs; the best node of group v100 (gpu-07) has 1 free; position 3 of 12",
            "GPU 2개가 필요한데, v100 그룹에서 가장 여유 있는 노드(gpu-07)에 1개만 남아 있습니다 (대기 12개 중 3번째)",
        ),
        (
            Why(WhyCode.SHORTAGE, {**_GROUP, "node": "n1", "device": "GPU", "fraction": "0.3", "fraction_free": "0.2"}),
            "needs 0.3 of a GPU; the best node of group v100 (n1) has at most 0.2 free on one GPU",
            "GPU 0.3개가 필요한데, v100 그룹에서 가장 여유 있는 노드(n1)에는 한 GPU에 많아야 0.2개만 남아 있습니다",
        ),
        (
            Why(WhyCode.SHORTAGE, {**_TWO_GPUS, "devices": 1, "models": "A100|H100", "devices_free": 0}),
            "needs 1 A100|H100 GPU; the best node of group v100 (gpu-07) has none free",
            "A100|H100 GPU 1개가 필요한데, v100 그룹에서 가장 여유 있는 노드(gpu-07)에도 남은 것이 없습니다",
        ),
        (
            Why(WhyCode.SHORTAGE, {**_GROUP, "node": "n1", "slots": "2 cpu", "slots_free": "0.5 cpu"}),
            "needs 2 cpu; the best node of group v100 (n1) has 0.5 cpu free",
            "cpu 2가 필요한데, v100 그룹에서 가장 여유 있는 노드(n1)에 cpu 0.5만 남아 있습니다",
        ),
        (
            Why(WhyCode.FULL, {**_TWO_GPUS, "position": 300}),
            "needs 2 GPUs, which no node of group v100 has free now; position about 300",
            "GPU 2개가 필요한데, 지금 v100 그룹에는 그만큼 비어 있는 노드가 없습니다 (대기 약 300번째)",
        ),
        (
            Why(
                WhyCode.SHORTAGE,
                {**_TWO_GPUS, "devices_free": 0, "slots": "3 cpu, 8g mem", "slots_free": "1 cpu, 4g mem"},
            ),
            "needs 2 GPUs, 3 cpu and 8g mem; the best node of group v100 (gpu-07) has 0 GPUs, 1 cpu and 4g mem free",
            "GPU 2개, cpu 3, mem 8g가 필요한데, v100 그룹에서 가장 여유 있는 노드(gpu-07)에 "
            "GPU 0개, cpu 1, mem 4g만 남아 있습니다",
        ),
        (
            Why(WhyCode.GANG, {**_TWO_GPUS, "size": 4, "room": 0, "layout": "any", "slots": "3 cpu"}),
            "needs 4 containers with 2 GPUs and 3 cpu each at once; group v100 has room for none",
            "컨테이너 4개를 한꺼번에 시작해야 하고 컨테이너마다 GPU 2개, cpu 3이 필요한데, "
            "v100 그룹에는 하나를 둘 자리도 없습니다",
        ),
        (
            Why(WhyCode.TOO_LARGE, {**_TWO_GPUS, "devices": 16, "devices_free": 8}),
            "needs 16 GPUs on one node; the largest node of group v100 (gpu-07) has 8 in all",
            "한 노드에 GPU 16개가 필요한데, v100 그룹에서 가장 큰 노드(gpu-07)에도 8개뿐입니다",
        ),
        (
            Why(WhyCode.AFTER, {"name": "prepare", "ok": 1}),
            "waits for prepare to succeed",
            "prepare 세션이 성공하기를 기다립니다",
        ),
        (
            Why(WhyCode.QUOTA, {**_KIM, **_ONE_OF_TWO}),
            "needs 1 GPU; user kim may hold 2 and holds 2",
            "GPU 1개가 필요한데, 사용자 kim의 한도는 2개이고 이미 쓰고 있는 양은 2개입니다",
        ),
        (
            Why(WhyCode.QUOTA, {**_KIM, "slots": "1 GPU, 2 cpu", "slots_allowed": "2 GPU, 8 cpu"}),
            "needs 1 GPU and 2 cpu; user kim may hold 2 GPUs and 8 cpu, of which too little is left",
            "GPU 1개, cpu 2가 필요한데, 사용자 kim의 한도(GPU 2개, cpu 8)에서 남은 양이 모자랍니다",
        ),
        (
            Why(
                WhyCode.QUOTA,
                {
                    "subject": "project",
                    "name": "vision",
                    "slots": "2.5 GPU, 8g mem",
                    "slots_allowed": "4 GPU, 16g mem",
                    "slots_held": "2 GPU, 12g mem",
                    "slots_kept": "1 GPU",
                },
            ),
            "needs 2.5 GPUs and 8g mem; project vision may hold 4 GPUs and 16g mem and holds 2 GPUs and 12g mem; "
            "1 GPU more kept for sessions that others give way to",
            "GPU 2.5개, mem 8g가 필요한데, 프로젝트 vision의 한도는 GPU 4개, mem 16g이고 다른 세션들이 자리를 비워 줄 "
            "세션의 몫은 GPU 1개이고 이미 쓰고 있는 양은 GPU 2개, mem 12g입니다",
        ),
        (
            Why(
                WhyCode.QUOTA,
                {
                    "subject": "member",
                    "name": "kim",
                    "project": "class",
                    "slots": "2 cpu",
                    "slots_allowed": "1 cpu",
                    "slots_held": "0 cpu",
                },
            ),
            "needs 2 cpu; a member of project class may hold 1 and kim holds none there",
            "cpu 2가 필요한데, class 프로젝트에서 사용자 kim의 한도는 1이고 이미 쓰고 있는 양은 0입니다",
        ),
        (
            Why(WhyCode.PREEMPTING, {"count": 1}),
            "one session is giving way to it",
            "다른 세션 1개가 자리를 비우는 중입니다",
        ),
    ],
)
def test_reasons_read_as_people_would_say_them(why: Why, english: str, korean: str) -> None:
    assert sentence(why) == english
    assert sentence(why, "ko") == korean
