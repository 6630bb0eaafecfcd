"""Who guesses waits longer and longer; who mistypes does not, nor do others who share an address or an account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from madang.domain.throttle import (
    ACCOUNT,
    ADDRESS,
    NOTHING_AFTER_SECONDS,
    PAIR,
    Attempt,
    Tally,
    attempt_of,
    counted,
    taken_back,
    wait_seconds,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Door:
    """Somebody who knocks as often as is allowed."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.now = NOW

    def fail(self, attempt: Attempt) -> int:
        """Wait as long as needed, then fail once; returns how long that took."""
        waited = wait_seconds(self.tallies, attempt, self.now)
        self.now += timedelta(seconds=waited)
        assert wait_seconds(self.tallies, attempt, self.now) == 0
        self.tallies |= counted(self.tallies, attempt, self.now)
        return waited


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_few_mistakes_cost_nothing_and_then_each_wait_is_twice_as_long(door: Door) -> None:
    attempt = attempt_of("minji", "203.0.113.5")
    waits = [door.fail(attempt) for _ in range(12)]
    assert waits[:5] == [0] * 5
    assert waits[5:] == [1, 2, 4, 8, 16, 32, 64]


def test_no_wait_is_longer_than_five_minutes(door: Door) -> None:
    attempt = attempt_of("minji", "203.0.113.5")
    assert max(door.fail(attempt) for _ in range(200)) <= PAIR.most_seconds


def test_a_guesser_gets_a_few_hundred_guesses_a_day(door: Door) -> None:
    attempt = attempt_of("minji", "203.0.113.5")
    guesses = 0
    while door.now < NOW + timedelta(days=1):
        door.fail(attempt)
        guesses += 1
    assert guesses < 400


def test_thousands_who_guess_together_are_held_up_too(door: Door) -> None:
    guesses = 0
    while door.now < NOW + timedelta(hours=1):
        door.fail(attempt_of("minji", f"203.0.{guesses // 250}.{guesses % 250}"))
        guesses += 1
    assert guesses < 150


def test_who_tries_one_password_on_everybody_is_held_up(door: Door) -> None:
    tried = 0
    while door.now < NOW + timedelta(hours=1):
        door.fail(attempt_of(f"user{tried}", "203.0.113.5"))
        tried += 1
    assert tried < 600


def test_a_class_behind_one_address_signs_in_though_each_mistypes(door: Door) -> None:
    assert sum(door.fail(attempt_of(f"student{number}", "203.0.113.5")) for number in range(80)) == 0


def test_a_guesser_elsewhere_does_not_keep_the_owner_out(door: Door) -> None:
    for _ in range(50):
        door.fail(attempt_of("minji", "198.51.100.7"))
    assert wait_seconds(door.tallies, attempt_of("minji", "203.0.113.5"), door.now) == 0
    assert wait_seconds(door.tallies, attempt_of("minji", "198.51.100.7"), door.now) > 100


def test_a_right_password_starts_anew(door: Door) -> None:
    attempt = attempt_of("minji", "203.0.113.5")
    for _ in range(8):
        door.fail(attempt)
    door.tallies |= taken_back(counted(door.tallies, attempt, door.now), attempt)
    assert [door.fail(attempt) for _ in range(5)] == [0] * 5


def test_a_right_password_hides_no_failures_of_others(door: Door) -> None:
    mine, other = attempt_of("minji", "203.0.113.5"), attempt_of("minji", "198.51.100.7")
    door.fail(other)
    before = dict(door.tallies)
    after = before | taken_back(before | counted(before, mine, door.now), mine)
    for key in other.limits:
        assert after[key].count == before[key].count


def test_time_heals(door: Door) -> None:
    attempt = attempt_of("minji", "203.0.113.5")
    for _ in range(10):
        door.fail(attempt)
    door.now += timedelta(hours=2)
    assert [door.fail(attempt) for _ in range(5)] == [0] * 5


@pytest.mark.parametrize("limit", [PAIR, ACCOUNT, ADDRESS])
def test_what_is_old_can_be_deleted(limit: object) -> None:
    attempt = attempt_of("minji", "203.0.113.5")
    tallies = {key: Tally(PAIR.free + 9, NOW) for key in attempt.limits}
    later = NOW + timedelta(seconds=NOTHING_AFTER_SECONDS)
    assert counted(tallies, attempt, later) == counted({}, attempt, later)


def test_a_clock_that_goes_back_forgives_nothing(door: Door) -> None:
    attempt = attempt_of("minji", "203.0.113.5")
    for _ in range(8):
        door.fail(attempt)
    door.now -= timedelta(hours=1)
    assert counted(door.tallies, attempt, door.now)[attempt.pair].count >= 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("minji", "203.0.113.5"), (" MinJi ", "203.0.113.5")),
        (("minji", "203.0.113.5"), ("minji", "::ffff:203.0.113.5")),
        (("minji", "2001:db8:1:2::1"), ("minji", "2001:db8:1:2:ffff::9")),
        (("민지", "unix"), ("민지", "unix")),
    ],
)
def test_the_same_account_and_address_in_other_words(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert attempt_of(*one) == attempt_of(*other)


def test_other_networks_are_other_addresses() -> None:
    assert attempt_of("a", "2001:db8:1:2::1") != attempt_of("a", "2001:db8:1:3::1")
    assert attempt_of("a", "203.0.113.5") != attempt_of("a", "203.0.113.6")
