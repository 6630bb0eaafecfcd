"""Messages in Korean: invitations, and importing users."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "invitation.add": "계정이 있든 없든 링크로 프로젝트에 초대합니다.",
    "invitation.ls": "쓸 수 있는 프로젝트 초대 목록.",
    "invitation.rm": "초대를 거둡니다.",
    "invitation.join": "초대받은 프로젝트에 들어갑니다.",
    "invitation.expires": "링크를 쓸 수 있는 때까지: '+3d', '2026-12-01'. 최대 90일. [기본값: 7일]",
    "invitation.uses": "몇 사람이 쓸 수 있는지.",
    "invitation.until": "구성원 자격이 끝나는 때: '2026-12-01', '+30d'. [기본값: 끝나지 않음]",
    "invitation.email": "보낼 메일 주소.",
    "invitation.id": "초대 ID.",
    "invitation.link": "초대 링크, 또는 # 뒤의 글자.",
    "invitation.none": "쓸 수 있는 초대가 없습니다.",
    "invitation.shown_once": "이 링크를 가진 사람은 {until}까지 들어올 수 있습니다. 다시 보여 주지 않습니다.",
    "invitation.sent": "{email} 주소로도 보냈습니다.",
    "invitation.not_sent": "이 서버는 메일을 보내지 않습니다. 링크를 직접 전해 주세요.",
    "import.help": "CSV 표의 계정을 모두 만듭니다. 하나라도 틀리면 아무도 만들지 않습니다.",
    "import.file": "CSV(UTF-8) 표. -는 표준 입력. 첫 줄은 열 이름: "
    "계정, 이름, 이메일, 프로젝트, 역할, 정책, 비밀번호, 초대.",
    "import.dry_run": "검사만 하고, 어떻게 될지 보여 줍니다.",
    "import.existing": "이미 있는 계정: refuse는 거절, join은 그 줄의 프로젝트에 넣기.",
    "import.make_up": "비밀번호도 초대도 없는 사람의 첫 비밀번호를 지어냅니다.",
    "import.output": "지어낸 비밀번호와 링크를 나만 읽을 수 있는 이 새 파일에 적습니다.",
    "import.would": "{domain} 도메인에 사용자 {count}명을 만들게 됩니다.",
    "import.done": "{domain} 도메인에 사용자 {count}명을 넣었습니다.",
    "import.written": "비밀번호와 링크는 {file}에 있습니다. 다시 보여 주지 않습니다.",
    "import.mistakes": "아무도 만들지 않았습니다. 파일에서 틀린 곳: {count}",
    "import.exists": "{file} 파일이 이미 있습니다. 새 파일 이름을 적어 주세요.",
    "import.joins": "있던 계정, 참여",
    "column.policy": "정책",
    "column.uses": "사용",
    "column.member_until": "자격 끝",
    "column.first_password": "첫 비밀번호 또는 링크",
    "column.note": "비고",
}
