"""한국어 메시지: 가격, 예산, 비용, 감사 기록 보관 기간."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "price.help": "가격: 슬롯과 장치를 한 시간 쓰는 값입니다.",
    "price.ls": "이번 달 가격을 봅니다.",
    "price.set": "가격을 바꿉니다. 이번 달 전체와 다음 달들에 적용됩니다. 관리자용입니다.",
    "price.entries": "한 시간 값: cpu=10, mem=2(1 GiB), cuda.device=900, model.A100=2500. none이면 없앱니다.",
    "price.currency": "금액의 단위(예: KRW, points).",
    "price.digits": "비용의 소수 자릿수.",
    "price.timezone": "예산과 GPU 시간을 세는 달이 어느 시간대의 달인지(예: Asia/Seoul).",
    "price.none": "가격이 없습니다.",
    "price.bad_entry": "'{written}'은(는) 가격이 아닙니다. cpu=10, cuda.device=900, model.A100=2500처럼 쓰세요.",
    "price.of_month": "시간당 {currency}, {timezone}의 달 기준",
    "budget.help": "프로젝트가 한 달에 쓸 수 있는 금액과 다 쓴 뒤의 처리를 정합니다. 관리자용입니다.",
    "budget.amount": "한 달에 쓸 수 있는 금액(가격의 단위). none이면 예산을 없앱니다.",
    "budget.warn": "이만큼(퍼센트) 쓰면 알립니다.",
    "budget.stop": "다 쓰면: 그대로 둠(none), 새 세션 없음, 실행 중인 세션도 중지.",
    "budget.grace": "중지되는 세션이 스스로 끝날 때까지 기다리는 시간(초).",
    "budget.spent_of": "{amount} {currency} 중 {spent} ({percent} %), 다 쓰면 {stop}",
    "budget.spent": "{spent} {currency}",
    "audit.retention": "감사 기록을 며칠 보관하는지 봅니다.",
    "audit.keep": "감사 기록을 이 일수만큼 보관합니다. 0이면 영구 보관. 더 오래된 것은 지웁니다.",
    "audit.days": "{days}일",
    "audit.for_ever": "영구",
    "column.cost": "비용",
    "column.price": "가격",
    "column.this_month": "이번 달",
    "column.kept": "보관",
}
