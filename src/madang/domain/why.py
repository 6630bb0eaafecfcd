"""Why a session waits, kept as a code with values, so that it can be told in every language at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    # somebody would hold more than allowed [subject, name, project; slots, slots_allowed, slots_held, slots_kept, with
    # devices among them]; subject: user, project, domain, or member: a user in one project; no slots_held: far back
    QUOTA = "quota"
    NO_ACCESS = "no_access"  # its group is not, or no longer, open to it [group, user, project]
    MAINTENANCE = "maintenance"  # nothing starts for now [until: absent when nobody knows, message_en, message_ko]
    BUDGET = "budget"  # its project has spent what it may in this month [project, amount, until]
    GPU_HOURS = "gpu_hours"  # somebody has used the GPU-hours of this month [subject, name, hours, until]
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

    def parts(self, name: str) -> Sequence[str]:
        """An amount of several slots, one by one."""
        return self[name].split(", ") if name in self else ()


def _and(parts: Sequence[str]) -> str:
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])


def _english(code: WhyCode, values: _Values) -> str:
    match code:
        case WhyCode.SHORTAGE:
            if "fraction" in values and "slots" not in values and values["fraction_free"] != "0":
                left = f"at most {values['fraction_free']} free on one {values['device']}"
            else:
                left = f"{_english_left(values)} free"
            return f"needs {_english_needs(values)}; {_english_best(values)} has {left}"
        case WhyCode.GANG | WhyCode.TOO_LARGE if "size" in values:
            return _english_gang(values, "even empty, " if code is WhyCode.TOO_LARGE else "")
        case WhyCode.FULL if "size" in values:
            each = f"{values['size']} containers with {_english_needs(values)} each"
            return f"needs {each} at once, for which group {values['group']} has no room now"
        case WhyCode.FULL:
            return f"needs {_english_needs(values)}, which no node of group {values['group']} has free now"
        case WhyCode.TOO_LARGE:
            return (
                f"needs {_english_needs(values)} on one node; the largest node of group {values['group']} "
                f"({values['node']}) has {_english_left(values)} in all"
            )
        case WhyCode.NO_DEVICE:
            return f"no ready node of group {values['group']} has any {_device(values)}"
        case WhyCode.QUOTA | WhyCode.MAINTENANCE:
            return _english_quota(values) if code is WhyCode.QUOTA else _english_maintenance(values)
        case WhyCode.AFTER if "ok" in values:
            return f"waits for {values['name']} to succeed"
        case WhyCode.PREEMPTING if values["count"] == "1":
            return "one session is giving way to it"
        case _:
            return _EN[code].format_map(values)


def _english_maintenance(values: _Values) -> str:
    until = f" until {values['until']}" if "until" in values else ""
    return f"no session starts during the maintenance{until}{_message(values, 'message_en', 'message_ko')}"


def _message(values: _Values, *names: str) -> str:
    """What an administrator has to say of it, in the first of these languages that there is."""
    return next((f": {' '.join(values[name].split())}" for name in names if name in values), "")


def _device(values: _Values) -> str:
    return f"{values['models']} {values['device']}" if "models" in values else values["device"]


def _english_best(values: _Values) -> str:
    return f"the best node of group {values['group']} ({values['node']})"


def _english_needs(values: _Values) -> str:
    parts = list(values.parts("slots"))
    if "devices" in values:
        parts.insert(0, f"{values['devices']} {_device(values)}{'' if values['devices'] == '1' else 's'}")
    if "fraction" in values:
        parts.insert(0, f"{values['fraction']} of {'an' if _device(values)[0] in 'AEIO' else 'a'} {_device(values)}")
    return _and(parts)


def _english_left(values: _Values) -> str:
    """What there is of what is needed; without a name where only one thing is."""
    parts = list(values.parts("slots_free"))
    if "devices" in values:
        left = values["devices_free"]
        plain = "none" if left == "0" else left
        parts.insert(0, f"{left} {values['device']}{'' if left == '1' else 's'}" if parts else plain)
    if "fraction" in values:
        left = values["fraction_free"]
        parts.insert(0, "none" if left == "0" and not parts else f"at most {left} of one {values['device']}")
    return _and(parts)


def _english_gang(values: _Values, even: str) -> str:
    size, each = values["size"], _english_needs(values)
    room = "none" if values["room"] == "0" else values["room"]
    group = f"group {values['group']}"
    match values["layout"]:
        case "one-node":
            best = _english_best(values)
            return f"needs {size} containers with {each} each on one node; {even}{best} has room for {room}"
        case "spread":
            return f"needs {size} nodes with {each} each at once; {even}{group} has {room} with room"
        case _:
            return f"needs {size} containers with {each} each at once; {even}{group} has room for {room}"


def _english_quota(values: _Values) -> str:
    if values["subject"] == "member":
        allowed = f"a member of project {values['project']} may hold {_english_amounts(values, 'slots_allowed')}"
        who, there = f"{values['name']} holds", " there"
    else:
        allowed = f"{values['subject']} {values['name']} may hold {_english_amounts(values, 'slots_allowed')}"
        who, there = "holds", ""
    needs = f"needs {_and(_plural(values.parts('slots')))}"
    if "slots_held" not in values:
        return f"{needs}; {allowed}, of which too little is left"
    both = f"{needs}; {allowed} and {who} {_english_amounts(values, 'slots_held')}{there}"
    if "slots_kept" in values:
        both += f"; {_english_amounts(values, 'slots_kept')} more kept for sessions that others give way to"
    return both


def _english_amounts(values: _Values, name: str) -> str:
    """Amounts of the slots of a quota; without names where it is only about one slot."""
    parts = values.parts(name)
    if len(values.parts("slots")) != 1 or len(parts) != 1:
        return _and(_plural(parts))
    amount = parts[0].split(" ")[0]
    return "none" if amount == "0" else amount


def _plural(parts: Sequence[str]) -> list[str]:
    """`2 GPUs`, but `8g mem`."""
    words = [part.split(" ", 1) for part in parts]
    return [f"{amount} {word}{'s' if _is_device(word) and amount != '1' else ''}" for amount, word in words]


def _is_device(word: str) -> bool:
    """Devices that people have a name for have one in capitals."""
    return word.isupper() or word.endswith(" device")


_EN: Final[Mapping[WhyCode, str]] = {
    WhyCode.GANG: "needs {size} containers at once; group {group} has room for {room}",
    WhyCode.BEHIND: "fits, but earlier sessions come first",
    WhyCode.KEPT: "fits, but the room is kept for a session that comes first",
    WhyCode.RESERVED: "the room that is left is reserved for {name} until {until}",
    WhyCode.CALENDAR: "the calendar of group {group} does not let it start in its window {window}, until {until}",
    WhyCode.NO_ACCESS: "group {group} is not open to user {user} in project {project}; an administrator can open it",
    WhyCode.BUDGET: (
        "project {project} has spent its budget of {amount} for this month; it can start when the next month begins, "
        "{until}, or when the budget is raised"
    ),
    WhyCode.GPU_HOURS: (
        "{subject} {name} has used the {hours} GPU-hours of this month; it can start when the next one begins, {until}"
    ),
    WhyCode.NOT_BEFORE: "starts at {time}, as asked",
    WhyCode.AFTER: "waits for {name} to end",
    WhyCode.PREEMPTING: "{count} sessions are giving way to it",
    WhyCode.NO_NODE: "no node of group {group} is ready",
    WhyCode.NO_FEATURE: "no ready node of group {group} offers {feature}",
    WhyCode.DEPENDENCY_FAILED: "{name}, which had to succeed first, has ended as {state}",
    WhyCode.DEADLINE: "can no longer be done by its deadline {time}",
}


def _english_place(values: _Values) -> str:
    if "position" not in values:
        return ""
    return f"; position {'' if 'of' in values else 'about '}{values['position']}" + (
        f" of {values['of']}" if "of" in values else ""
    )


def _korean(code: WhyCode, values: _Values) -> str:
    match code:
        case WhyCode.SHORTAGE:
            return f"{_korean_needs(values)} 필요한데, {_korean_left(values)}"
        case WhyCode.GANG | WhyCode.TOO_LARGE if "size" in values:
            return _korean_gang(values, "모두 비어 있어도 " if code is WhyCode.TOO_LARGE else "")
        case WhyCode.FULL if "size" in values:
            return (
                f"컨테이너 {values['size']}개를 한꺼번에 시작해야 하고 컨테이너마다 {_korean_needs(values)} 필요한데, "
                f"지금 {values['group']} 그룹에는 그만한 자리가 없습니다"
            )
        case WhyCode.FULL:
            return f"{_korean_needs(values)} 필요한데, 지금 {values['group']} 그룹에는 그만큼 비어 있는 노드가 없습니다"
        case WhyCode.TOO_LARGE:
            return (
                f"한 노드에 {_korean_needs(values)} 필요한데, {values['group']} 그룹에서 가장 큰 노드"
                f"({values['node']})에도 {', '.join(_korean_amounts(values, '_free'))}뿐입니다"
            )
        case WhyCode.NO_DEVICE:
            return f"{values['group']} 그룹에는 {_device(values)} 장치를 가진 준비된 노드가 없습니다"
        case WhyCode.QUOTA:
            return _korean_quota(values)
        case WhyCode.MAINTENANCE:
            until = f"{values['until']}까지 " if "until" in values else ""
            return f"{until}점검 중이라 새로 시작하는 세션이 없습니다{_message(values, 'message_ko', 'message_en')}"
        case WhyCode.AFTER if "ok" in values:
            return f"{values['name']} 세션이 성공하기를 기다립니다"
        case WhyCode.DEPENDENCY_FAILED:
            state = _KO_STATES.get(values["state"], values["state"])
            return f"먼저 성공해야 하는 {values['name']} 세션이 '{state}' 상태로 끝나서 시작할 수 없습니다"
        case _:
            return _KO[code].format_map(values)


def _korean_amounts(values: _Values, which: Literal["", "_free"]) -> list[str]:
    """Amounts with their names before them: `GPU 2개`, `cpu 4`; a device alone needs no name again."""
    slots = [" ".join(reversed(part.split(" ", 1))) for part in values.parts(f"slots{which}")]
    for name in ("devices", "fraction"):
        if name in values:
            label = f"{values['device'] if which else _device(values)} " if slots or not which else ""
            slots.insert(0, f"{label}{values[name + which]}개")
    return slots


def _subject(text: str) -> str:
    """With the particle of a subject: numbers are read out, and the letters of sizes all end in a vowel."""
    return text + ("이" if text[-1:] in "013678" else "가")


def _korean_needs(values: _Values) -> str:
    return _subject(", ".join(_korean_amounts(values, "")))


def _korean_left(values: _Values) -> str:
    best = f"{values['group']} 그룹에서 가장 여유 있는 노드({values['node']})"
    slots = "slots" in values
    if not slots and "0" in (values["devices_free"], values["fraction_free"]):
        return f"{best}에도 남은 것이 없습니다"
    left = ", ".join(_korean_amounts(values, "_free"))
    if "fraction" in values:
        return f"{best}에는 한 {values['device']}에 많아야 {left.removeprefix(values['device'] + ' ')}만 남아 있습니다"
    return f"{best}에 {left}만 남아 있습니다"


def _korean_gang(values: _Values, even: str) -> str:
    size, each, room = values["size"], _korean_needs(values), values["room"]
    group = f"{values['group']} 그룹"
    left = "하나를 둘 자리도 없습니다" if room == "0" else f"{room}개를 둘 자리만 있습니다"
    match values["layout"]:
        case "one-node":
            return (
                f"컨테이너 {size}개를 한 노드에 두어야 하고 컨테이너마다 {each} 필요한데, "
                f"{even}{group}에서 가장 여유 있는 노드({values['node']})에는 {left}"
            )
        case "spread":
            return (
                f"서로 다른 노드 {size}개에서 컨테이너를 한꺼번에 시작해야 하고 컨테이너마다 {each} 필요한데, "
                f"{even}{group}에 자리가 있는 노드는 {room}개입니다"
            )
        case _:
            return f"컨테이너 {size}개를 한꺼번에 시작해야 하고 컨테이너마다 {each} 필요한데, {even}{group}에는 {left}"


_KO_SUBJECTS: Final[Mapping[str, str]] = {"user": "사용자", "project": "프로젝트", "domain": "도메인"}


def _korean_quota(values: _Values) -> str:
    if values["subject"] == "member":
        whose = f"{values['project']} 프로젝트에서 사용자 {values['name']}의"
    else:
        whose = f"{_KO_SUBJECTS.get(values['subject'], values['subject'])} {values['name']}의"
    several = len(values.parts("slots")) != 1
    needs, allowed, held, kept = (
        ", ".join(_korean_amount(part, named=several or not name) for part in values.parts(f"slots{name}"))
        for name in ("", "_allowed", "_held", "_kept")
    )
    if not held:
        return f"{_subject(needs)} 필요한데, {whose} 한도({allowed})에서 남은 양이 모자랍니다"
    more = f" 다른 세션들이 자리를 비워 줄 세션의 몫은 {kept}이고" if kept else ""
    return f"{_subject(needs)} 필요한데, {whose} 한도는 {allowed}이고{more} 이미 쓰고 있는 양은 {held}입니다"


def _korean_amount(part: str, *, named: bool) -> str:
    """`2 GPU` is `GPU 2개`, and `8g mem` `mem 8g`."""
    amount, _, word = part.partition(" ")
    counted = f"{amount}개" if _is_device(word) else amount
    return f"{word} {counted}" if named else counted


_KO_STATES: Final[Mapping[str, str]] = {
    "failed": "실패",
    "stopped": "중지",
    "cancelled": "취소",
    "lost": "유실",
    "succeeded": "성공",
}

_KO: Final[Mapping[WhyCode, str]] = {
    WhyCode.GANG: "컨테이너 {size}개를 한꺼번에 시작해야 하는데, {group} 그룹에는 {room}개를 둘 자리만 있습니다",
    WhyCode.BEHIND: "자리는 있지만 앞선 세션들이 먼저입니다",
    WhyCode.KEPT: "자리는 있지만 먼저 시작할 세션을 위해 남겨 둔 자리입니다",
    WhyCode.RESERVED: "남은 자리는 {until}까지 예약({name})되어 있습니다",
    WhyCode.CALENDAR: "{group} 그룹의 시간표가 {until}까지 {window} 시간대이므로 이 세션을 시작할 수 없습니다",
    WhyCode.NO_ACCESS: "{project} 프로젝트의 사용자 {user}에게는 {group} 그룹이 열려 있지 않습니다",
    WhyCode.BUDGET: (
        "{project} 프로젝트가 이번 달 예산({amount})을 다 썼습니다. 다음 달이 시작하는 {until}이 되거나 예산이 "
        "늘어나면 시작할 수 있습니다"
    ),
    WhyCode.GPU_HOURS: (
        "{name}의 이번 달 GPU 사용 한도({hours}시간)를 다 썼습니다. 다음 달이 시작하는 {until}이 되면 시작할 수 "
        "있습니다"
    ),
    WhyCode.NOT_BEFORE: "요청하신 시각인 {time}에 시작합니다",
    WhyCode.AFTER: "{name} 세션이 끝나기를 기다립니다",
    WhyCode.PREEMPTING: "다른 세션 {count}개가 자리를 비우는 중입니다",
    WhyCode.NO_NODE: "{group} 그룹에 준비된 노드가 없습니다",
    WhyCode.NO_FEATURE: "{group} 그룹에는 {feature} 조건을 갖춘 준비된 노드가 없습니다",
    WhyCode.DEADLINE: "기한인 {time}까지 마칠 수 없습니다",
}


def _korean_place(values: _Values) -> str:
    if "position" not in values:
        return ""
    if "of" in values:
        return f" (대기 {values['of']}개 중 {values['position']}번째)"
    return f" (대기 약 {values['position']}번째)"


_TELL: Final[Mapping[Language, Callable[[WhyCode, _Values], str]]] = {"en": _english, "ko": _korean}
_PLACE: Final[Mapping[Language, Callable[[_Values], str]]] = {"en": _english_place, "ko": _korean_place}
