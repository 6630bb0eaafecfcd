"""Why a session waits, kept as a code with values, so that it can be told in every language at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

Value = str | int | float
Language = Literal["en", "ko"]


class WhyCode(StrEnum):
    """The kinds of reasons. In brackets: the values that a reason of this kind carries.

    `position` and `of` may stand in every one: the place in the queue, rounded where `of` is missing. Amounts are as
    people write them: `devices` 2 or `fraction` "0.3", of a `device` "GPU" and `models` "A100|H100"; `slots` "2 cpu, 8g
    mem". `devices_free` and the like are what is left.
    """

    SHORTAGE = "shortage"  # the best node lacks something [group, node, devices..., slots..., their _free]
    GANG = "gang"  # room for some of the containers only [group, size, room, layout, devices..., slots]; node: one-node
    BEHIND = "behind"  # fits, but strictly in order others come first [group]
    FULL = "full"  # the same as both of these, far back in the queue [group, devices..., slots..., size, layout]
    KEPT = "kept"  # fits, but only where room is kept for a session that comes first [group]
    RESERVED = "reserved"  # only reserved room is left [group, name, until]
    CALENDAR = "calendar"  # the calendar does not allow it now [group, window, until]
    NOT_BEFORE = "not_before"  # starts at a time of its own [time]
    AFTER = "after"  # other sessions have to end first [name, ok: 1 when they have to succeed]
    PREEMPTING = "preempting"  # others are giving way to it [count]
    NO_NODE = "no_node"  # no node of the group is ready [group]
    NO_FEATURE = "no_feature"  # no ready node offers it [group, feature]
    NO_DEVICE = "no_device"  # no ready node has such a device, or the model [group, device, models]
    TOO_LARGE = "too_large"  # not even the empty group could hold it [group, node, devices..., slots...; size, room]
    DEPENDENCY_FAILED = "dependency_failed"  # what had to succeed did not [name, state]
    DEADLINE = "deadline"  # it can no longer be done in time [time]


@dataclass(frozen=True, slots=True)
class Why:
    """One reason. `values` can be written as JSON."""

    code: WhyCode
    values: Mapping[str, Value] = field(default_factory=dict)


def sentence(why: Why, language: Language = "en") -> str:
    """The reason as one sentence for people; a value that is missing reads as `?`."""
    values = _Values(why.values)
    return _TELL[language](why.code, values) + _PLACE[language](values)


class _Values:
    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        value = self._values.get(name, "?")
        return f"{value:,}" if isinstance(value, int) else str(value)

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def number(self, name: str) -> int:
        value = self._values.get(name, 0)
        return int(value) if isinstance(value, int | float) else 0


def _english(code: WhyCode, values: _Values) -> str:
    match code:
        case WhyCode.SHORTAGE:
            return f"needs {_english_needs(values)}; {_english_best(values)} has {_english_free(values)}"
        case WhyCode.GANG:
            return _english_gang(values)
        case WhyCode.FULL if "size" in values:
            each = f"{values['size']} containers with {_english_needs(values)} each"
            return f"needs room for {each} at once, which group {values['group']} does not have now"
        case WhyCode.FULL:
            return f"needs {_english_needs(values)}, which no node of group {values['group']} has free now"
        case WhyCode.TOO_LARGE if "size" in values:
            return f"{_english_gang(values)} even when nothing runs"
        case WhyCode.TOO_LARGE:
            return (
                f"needs {_english_needs(values)} on one node; the largest node of group {values['group']} "
                f"({values['node']}) has {_english_free(values).removesuffix(' free')} in all"
            )
        case WhyCode.NO_DEVICE:
            return f"no ready node of group {values['group']} has any {_english_device(values, False)}"
        case WhyCode.AFTER if "ok" in values:
            return f"waits for {values['name']} to succeed"
        case WhyCode.PREEMPTING if values.number("count") == 1:
            return "one session is giving way to it"
        case _:
            return _EN[code].format_map(values)


def _english_best(values: _Values) -> str:
    return f"the best node of group {values['group']} ({values['node']})"


def _english_device(values: _Values, many: bool) -> str:
    model = f"{values['models']} " if "models" in values else ""
    return f"{model}{values['device']}{'s' if many else ''}"


def _english_needs(values: _Values) -> str:
    parts = []
    if "devices" in values:
        parts.append(f"{values['devices']} {_english_device(values, values.number('devices') != 1)}")
    if "fraction" in values:
        name = _english_device(values, False)
        parts.append(f"{values['fraction']} of {'an' if name[:1] in 'AEIO' else 'a'} {name}")
    if "slots" in values:
        parts.append(values["slots"])
    return " and ".join(parts)


def _english_free(values: _Values) -> str:
    parts = []
    if "devices" in values:
        parts.append(f"{values['devices_free']} {'of them ' if 'slots' in values else ''}free")
    if "fraction" in values:
        parts.append(f"at most {values['fraction_free']} free on one {values['device']}")
    if "slots" in values:
        parts.append(f"{values['slots_free']} free")
    return " and ".join(parts)


def _english_gang(values: _Values) -> str:
    size, each, room = values["size"], _english_needs(values), values["room"]
    match values["layout"]:
        case "one-node":
            return f"needs one node for {size} containers with {each} each; {_english_best(values)} has room for {room}"
        case "spread":
            return f"needs {size} nodes with {each} each at once; group {values['group']} has {room} with room"
        case _:
            return (
                f"needs room for {size} containers with {each} each at once; group {values['group']} has it for {room}"
            )


_EN: Final[Mapping[WhyCode, str]] = {
    WhyCode.BEHIND: "fits, but earlier sessions come first",
    WhyCode.KEPT: "fits, but the room is kept for a session that comes first",
    WhyCode.RESERVED: "the room left is reserved for {name} until {until}",
    WhyCode.CALENDAR: "the calendar of group {group} has {window} until {until}, which does not allow this session",
    WhyCode.NOT_BEFORE: "starts at {time}, as asked",
    WhyCode.AFTER: "waits for {name} to end",
    WhyCode.PREEMPTING: "{count} sessions are giving way to it",
    WhyCode.NO_NODE: "no node of group {group} is ready",
    WhyCode.NO_FEATURE: "no ready node of group {group} offers {feature}",
    WhyCode.DEPENDENCY_FAILED: "{name} ended {state}, so what was to come after it cannot start",
    WhyCode.DEADLINE: "can no longer be done by its deadline {time}",
}


def _korean(code: WhyCode, values: _Values) -> str:
    match code:
        case WhyCode.SHORTAGE:
            return f"{_korean_needs(values)} 필요한데, {_korean_best(values)}에 {_korean_free(values)} 남아 있습니다"
        case WhyCode.GANG:
            return _korean_gang(values)
        case WhyCode.FULL if "size" in values:
            return (
                f"컨테이너마다 {_korean_needs(values)} 필요하고 {values['size']}개를 한꺼번에 시작해야 하는데, "
                f"지금은 {values['group']} 그룹에 그만한 자리가 없습니다"
            )
        case WhyCode.FULL:
            return f"{_korean_needs(values)} 필요한데, 지금은 {values['group']} 그룹에 그만큼 비어 있는 노드가 없습니다"
        case WhyCode.TOO_LARGE if "size" in values:
            return f"모두 비어 있어도 자리가 모자랍니다: {_korean_gang(values)}"
        case WhyCode.TOO_LARGE:
            return (
                f"한 노드에 {_korean_needs(values)} 필요한데, {values['group']} 그룹에서 "
                f"가장 큰 노드({values['node']})에도 {_korean_free(values)} 있습니다"
            )
        case WhyCode.NO_DEVICE:
            return f"{values['group']} 그룹의 준비된 노드 가운데 {_korean_device(values)} 장치를 가진 노드가 없습니다"
        case WhyCode.AFTER if "ok" in values:
            return f"먼저 성공해야 하는 세션을 기다립니다: {values['name']}"
        case _:
            return _KO[code].format_map(values)


def _korean_best(values: _Values) -> str:
    return f"{values['group']} 그룹에서 가장 여유 있는 노드({values['node']})"


def _korean_device(values: _Values) -> str:
    return f"{values['models']} {values['device']}" if "models" in values else values["device"]


def _korean_needs(values: _Values) -> str:
    parts = []
    if "devices" in values:
        parts.append(f"{_korean_device(values)} {values['devices']}개")
    if "fraction" in values:
        parts.append(f"{_korean_device(values)} {values['fraction']}개")
    if "slots" in values:
        parts.append(f"{values['slots']}")
    # A count ends in a consonant-free syllable; an amount of slots takes no particle.
    return f"{', '.join(parts)}{'' if 'slots' in values else '가'}"


def _korean_free(values: _Values) -> str:
    parts = []
    if "devices" in values:
        parts.append(f"{values['devices_free']}개만")
    if "fraction" in values:
        parts.append(f"{values['device']} 하나에 많아야 {values['fraction_free']}개만")
    if "slots" in values:
        parts.append(f"{values['slots_free']}만")
    return ", ".join(parts)


def _korean_gang(values: _Values) -> str:
    size, each, room = values["size"], _korean_needs(values), values["room"]
    match values["layout"]:
        case "one-node":
            return (
                f"컨테이너마다 {each} 필요하고 {size}개를 한 노드에 두어야 하는데, "
                f"{_korean_best(values)}에는 {room}개의 자리만 있습니다"
            )
        case "spread":
            return (
                f"컨테이너마다 {each} 필요하고 서로 다른 노드 {size}개가 한꺼번에 있어야 하는데, "
                f"{values['group']} 그룹에 자리가 있는 노드는 {room}개입니다"
            )
        case _:
            return (
                f"컨테이너마다 {each} 필요하고 {size}개를 한꺼번에 시작해야 하는데, "
                f"{values['group']} 그룹에는 {room}개의 자리만 있습니다"
            )


_KO: Final[Mapping[WhyCode, str]] = {
    WhyCode.BEHIND: "자리는 있지만 먼저 온 세션의 차례입니다",
    WhyCode.KEPT: "자리는 있지만 먼저 시작할 세션을 위해 비워 두었습니다",
    WhyCode.RESERVED: "남은 자리는 {until}까지 {name} 예약에 잡혀 있습니다",
    WhyCode.CALENDAR: "{group} 그룹의 시간표가 {until}까지 {window}이어서 이 세션은 시작할 수 없습니다",
    WhyCode.NOT_BEFORE: "요청하신 대로 {time}에 시작합니다",
    WhyCode.AFTER: "먼저 끝나야 하는 세션을 기다립니다: {name}",
    WhyCode.PREEMPTING: "다른 세션 {count}개가 자리를 비우고 있습니다",
    WhyCode.NO_NODE: "{group} 그룹에 준비된 노드가 없습니다",
    WhyCode.NO_FEATURE: "{group} 그룹의 준비된 노드 가운데 {feature} 기능을 제공하는 노드가 없습니다",
    WhyCode.DEPENDENCY_FAILED: "먼저 성공해야 하는 세션이 {state} 상태로 끝나 시작할 수 없습니다: {name}",
    WhyCode.DEADLINE: "기한인 {time}까지 더는 마칠 수 없습니다",
}


def _english_place(values: _Values) -> str:
    if "position" not in values:
        return ""
    return (
        f"; position {values['position']} of {values['of']}"
        if "of" in values
        else f"; position about {values['position']}"
    )


def _korean_place(values: _Values) -> str:
    if "position" not in values:
        return ""
    if "of" in values:
        return f" (대기 {values['of']}개 중 {values['position']}번째)"
    return f" (대기 약 {values['position']}번째)"


_TELL: Final[Mapping[Language, Callable[[WhyCode, _Values], str]]] = {"en": _english, "ko": _korean}
_PLACE: Final[Mapping[Language, Callable[[_Values], str]]] = {"en": _english_place, "ko": _korean_place}
