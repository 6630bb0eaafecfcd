"""Messages in English: invitations, and importing users."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "invitation.add": "Invite somebody into a project by a link, with or without an account.",
    "invitation.ls": "List the invitations into a project that are good.",
    "invitation.rm": "Take an invitation back.",
    "invitation.join": "Join the project of an invitation.",
    "invitation.expires": "How long the link is good: '+3d', '2026-12-01'; at most 90 days. [default: 7 days]",
    "invitation.uses": "How many people may use it.",
    "invitation.until": "When the membership ends: '2026-12-01', '+30d'. [default: never]",
    "invitation.email": "Address to send it to.",
    "invitation.id": "The id of an invitation.",
    "invitation.link": "The link of an invitation, or what is behind its #.",
    "invitation.none": "There are no invitations that are good.",
    "invitation.shown_once": "Whoever has this link gets in until {until}. It is not shown again.",
    "invitation.sent": "It was sent to {email}, too.",
    "invitation.not_sent": "This server sends no mail: give the link to the person yourself.",
    "import.help": "Make the accounts of a table in CSV, all or none.",
    "import.file": "The table in CSV (UTF-8); - for standard input. Its first line names columns: account, name, "
    "e-mail, project, role, policy, password, invitation.",
    "import.dry_run": "Only check it, and show what would be done.",
    "import.existing": "What becomes of accounts that are there already: refuse, or join the project of their line.",
    "import.make_up": "Make up a first password for who has neither a password nor an invitation.",
    "import.output": "Write made-up passwords and links into this new file, which only you can read.",
    "import.would": "{count} users would be imported into the domain {domain}.",
    "import.done": "{count} users were imported into the domain {domain}.",
    "import.written": "Passwords and links are in {file}. They are not shown again.",
    "import.mistakes": "Nobody was added. Mistakes in the file: {count}",
    "import.exists": "{file} is there already; name a new file.",
    "import.joins": "had an account, joins",
    "column.policy": "POLICY",
    "column.uses": "USES",
    "column.member_until": "MEMBER UNTIL",
    "column.first_password": "FIRST PASSWORD OR LINK",
    "column.note": "NOTE",
}
