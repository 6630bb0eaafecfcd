"""Messages in Korean: one's own account, passwords and second factors."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "account.help": "내 계정: 비밀번호와 2단계 인증.",
    "account.show": "로그인 방법을 봅니다.",
    "account.password": "비밀번호를 바꿉니다.",
    "account.sign_out_others": "다른 토큰과 브라우저 로그인도 모두 끊습니다.",
    "account.second_factor": "로그인할 때 인증 앱의 코드도 묻게 합니다.",
    "account.second_factor_off": "이제부터 쓰지 않습니다.",
    "account.forgot": "새 비밀번호를 정하는 링크를 계정의 메일 주소로 받습니다.",
    "account.link": "받은 링크를 씁니다. 비밀번호를 정하거나 계정을 만듭니다.",
    "account.sign_up": "서버가 허락하면 계정을 신청합니다.",
    "account.link_text": "링크 전체.",
    "account.server": "서버. [기본값: 평소에 쓰는 서버]",
    "account.factor_on": "예, 남은 복구 코드 {codes}개",
    "account.old_password": "지금 비밀번호",
    "account.password_changed": "비밀번호를 바꿨습니다.",
    "account.factor_removed": "이제 비밀번호만 있으면 됩니다.",
    "account.enrol": "이 주소를 QR 코드로 앱에 주거나 비밀 키를 입력해 주세요: {secret}",
    "account.recovery_codes": "복구 코드를 보관해 주세요. 앱 없이 한 번씩 로그인할 수 있고, 다시 보여 드리지 않습니다.",
    "account.link_sent": "보낼 수 있으면 링크를 보냈습니다. 링크를 열거나 'madang account link'로 써 주세요.",
    "account.whole_link": "https://부터 마지막 글자까지 링크 전체를 주세요.",
    "account.signed_up": "'{name}' 계정을 만들었습니다. 'madang login'으로 로그인해 주세요.",
    "user.password": "첫 비밀번호를 줍니다. 다음 로그인에서 바꿔야 합니다.",
    "user.password_link": "대신 비밀번호를 정하는 링크를 출력합니다.",
    "user.sign_out": "사용자의 토큰도 모두 끊습니다.",
    "user.link_or_sign_out": "--sign-out을 빼 주세요. 링크는 쓰기 전에는 아무것도 바꾸지 않습니다.",
    "user.password_shown_once": "전해 주세요. 다시 보여 드리지 않습니다.",
    "user.link_shown_once": "전해 주세요. 다시 보여 드리지 않으며 {until}까지 한 번만 쓸 수 있습니다.",
    "user.no_second_factor": "인증 앱을 잃어버린 사람의 2단계 인증을 없앱니다.",
    "column.source": "로그인 방법",
    "column.password": "비밀번호",
    "column.second_factor": "2단계 인증",
    "column.last_sign_in": "마지막 로그인",
}
