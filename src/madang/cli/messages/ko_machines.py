"""Messages in Korean: signing in to servers, profiles, signing keys and tokens of projects."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "main.profile": "사용할 서버: 프로필 이름, 또는 이 컴퓨터의 서버는 'local'.",
    "key.help": "토큰을 보낼 수 없는 컴퓨터를 위한 서명 키: docs/signing.md 참고.",
    "key.ls": "내 서명 키를 나열합니다.",
    "key.add": "서명 키를 만듭니다.",
    "key.rm": "서명 키를 회수합니다. 이 키로 연 연결은 닫힙니다.",
    "key.id": "키의 ID('madang key ls' 참고).",
    "key.none": "서명 키가 없습니다.",
    "key.shown_once": (
        "비밀 값을 지금 보관하세요. 한 번만 보여 드립니다. 이 변수들과 MADANG_URL을 설정하면 모든 요청에 서명합니다."
    ),
    "token.project": "이 프로젝트의 토큰. 각 토큰은 이 프로젝트에만 속한 로봇의 것입니다.",
    "token.role": "프로젝트에서 로봇의 역할. [기본값: member]",
    "token.role_of_project": "--role은 --project와 함께 씁니다. 내 토큰의 권한은 내 권한과 같습니다.",
    "profile.help": "프로필: 로그인한 서버들.",
    "profile.ls": "프로필을 나열합니다.",
    "profile.use": "따로 정하지 않았을 때 쓸 프로필을 고릅니다. 이 컴퓨터의 서버는 'local'.",
    "profile.rm": "프로필을 지웁니다. 'madang logout'은 토큰도 회수합니다.",
    "profile.name": "프로필 이름.",
    "profile.json": "토큰을 뺀 JSON을 출력합니다.",
    "profile.none": "프로필이 없습니다. 'madang login URL'로 만드세요.",
    "login.help": "서버에 로그인하고 프로필로 저장합니다.",
    "login.url": "서버 주소. [기본값: 프로필의 주소 또는 이 컴퓨터의 서버]",
    "login.profile": "프로필 이름. [기본값: 서버 이름]",
    "login.user": "계정 이름. 없으면 묻습니다.",
    "login.token": "입력하거나 표준 입력으로 준 접근 토큰으로 로그인합니다.",
    "login.device": "다른 곳의 브라우저로 이 시스템에 로그인합니다.",
    "login.one_way": "--token은 --user, --device와 함께 쓸 수 없습니다.",
    "login.user_prompt": "사용자",
    "login.password_prompt": "비밀번호",
    "login.code_prompt": "인증 앱의 코드 또는 복구 코드",
    "login.new_password_prompt": "새 비밀번호",
    "login.again_prompt": "새 비밀번호 다시",
    "login.not_the_same": "두 비밀번호가 다릅니다. 바뀐 것은 없습니다.",
    "login.token_prompt": "접근 토큰",
    "login.no_terminal": "'{prompt}'을(를) 물을 터미널이 없습니다. {option}을(를) 쓰세요.",
    "login.device_open": "브라우저에서 {uri} 을(를) 열고 {code} 을(를) 입력하세요",
    "login.device_late": "시간 안에 승인되지 않았습니다. 다시 시도하세요.",
    "login.done": "{url}에 {user}(으)로 로그인했고 프로필 '{profile}'(으)로 저장했습니다.",
    "logout.help": "프로필의 토큰을 회수하고 프로필을 지웁니다.",
    "logout.profile": "프로필 이름. [기본값: 쓰고 있는 것]",
    "logout.nothing": "프로필로 로그인하지 않았습니다. 토큰은 'madang token rm'으로 회수하세요.",
    "logout.away": "{url}이(가) 응답하지 않습니다. 프로필은 지웠지만 토큰은 회수할 때까지 유효합니다.",
    "column.server": "서버",
    "column.profile": "프로필",
    "column.default": "기본",
}
