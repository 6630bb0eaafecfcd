"""Takes more and more memory, 32 MiB at a time, until something stops it or it holds 512 MiB."""

from __future__ import annotations

STEP = 32
MOST = 512


def main() -> None:
    held = []
    for total in range(STEP, MOST + 1, STEP):
        held.append(b"x" * (STEP << 20))
        print(f"holding {total} MiB", flush=True)
    print("nothing stopped me", flush=True)


if __name__ == "__main__":
    main()
