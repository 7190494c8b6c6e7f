"""What keeps the file sound and small over years, and the way out of a full disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from edge_agent.domain.outgoing import OutgoingPriority
from edge_agent.errors import Unavailable
from edge_agent.store.ballast import Ballast
from edge_agent.store.connection import Connection, Damaged, Full
from edge_agent.store.feedback import FeedbackBook
from edge_agent.store.incidents import Incidents
from edge_agent.store.jobs import Jobs
from edge_agent.store.outbox import Outbox
from edge_agent.store.records import Records

PRUNE_S = 600.0
CHECK_S = 86_400.0
FIRST_CHECK_S = 3_600.0
"""The daily check comes this long after the start at first: not while everything else begins."""
VACUUM_PAGES = 256
SHED_ROWS = 200
log = structlog.get_logger()


@dataclass
class Upkeep:
    """``turn`` it every few seconds from one thread; ``make_room`` is for the store itself."""

    connection: Connection
    jobs: Jobs
    outbox: Outbox
    incidents: Incidents
    feedback: FeedbackBook
    records: Records
    ballast: Ballast
    alarms: list[str]
    next_prune: float = 0.0
    next_check: float | None = None
    rooms_made: int = field(default=0)

    def turn(self, now: float) -> None:
        """Do what is due; ``now``: monotonic seconds. Raises ``Damaged`` where the daily check
        finds the file unsound: the daemon must end, and the next start sets it aside."""
        if self.next_check is None:
            self.next_check = now + FIRST_CHECK_S
        if now >= self.next_prune:
            self.next_prune = now + PRUNE_S
            try:
                self.prune()
                self.hold_ballast()
            except Full as error:
                log.warning("upkeep_put_off", reason=str(error))
        if now >= self.next_check:
            self.next_check = now + CHECK_S
            self.examine()

    def prune(self) -> None:
        """Forget the oldest finished jobs and incidents, and give free pages back to the disk."""
        self.jobs.prune()
        self.incidents.prune()
        self.feedback.prune()
        self.records.prune()
        self.connection.vacuum(VACUUM_PAGES)

    def examine(self) -> None:
        """The thorough check; an index that disagrees with its table is built anew first."""
        try:
            self.connection.check(thorough=True)
        except Damaged as error:
            log.warning("database_unsound", reason=str(error))
            self.connection.execute("REINDEX")
            try:
                self.connection.check(thorough=True)
            except Damaged:
                self.connection.mark_damaged(str(error))
                raise
            self.alarms.append(f"{error}; its indexes were built anew, and it is sound again")
        log.info("database_sound", path=str(self.connection.path))

    def hold_ballast(self) -> None:
        """Take the ballast back where there is plenty of room again."""
        self.ballast.restore()

    def make_room(self) -> None:
        """The disk, or the bound on the file, is full: give the ballast up, fold the log, shed the
        least urgent messages. Each step stands for itself: a full disk fails DELETE too."""
        self.rooms_made += 1
        self.ballast.give_up()
        steps: tuple[Callable[[], object], ...] = (
            self.connection.checkpoint,
            lambda: self.outbox.shed(OutgoingPriority.HEALTH, SHED_ROWS),
            self.records.shed,
            self.prune,
            self.connection.checkpoint,
        )
        for step in steps:
            try:
                step()
            except Unavailable as error:
                log.debug("no_room_made", reason=str(error))
