"""Schedule: when a job runs, by a cron expression in the machine's local time. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from penstock.core.errors import ConfigError


class Schedule(msgspec.Struct, frozen=True):
    """The times of one job. Local times without a zone, as cron has them.

    Attributes:
        cron: minute, hour, day of the month, month, day of the week; before them, where there are
            six, the second.
    """

    cron: str

    def check(self, source: str) -> None:
        """See that there are such times.

        Args:
            source: what an error calls it, such as ``job.yaml: $.schedule``.

        Raises:
            ConfigError: it is no cron expression, or cronsim is not installed.
        """
        try:
            import cronsim
        except ModuleNotFoundError as err:
            raise ConfigError(
                f"{source}: schedules need cronsim: pip install 'penstock[batch]'"
            ) from err
        expected = (
            f"{source}: expected a cron expression such as '0 2 * * *' (every night at two), "
            f"got '{self.cron}'"
        )
        count = len(self.cron.split())
        if count not in (5, 6):
            raise ConfigError(
                f"{expected}: 5 fields are expected (minute, hour, day of the month, month, day "
                f"of the week; or 6, with the second first), got {count}"
            )
        try:
            self.after(datetime(2000, 1, 1))  # noqa: DTZ001 - local, as cron's
        except (cronsim.CronSimError, StopIteration) as err:
            why = str(err).lower() or "no day is ever like that"
            raise ConfigError(f"{expected}: {why}") from err

    def after(self, moment: datetime) -> datetime:
        """The first of its times after a moment."""
        from cronsim import CronSim

        return next(CronSim(self.cron, moment))

    def due(self, last: datetime, now: datetime) -> datetime | None:
        """The newest of its times after ``last`` that is not after ``now``; None: there is none.

        Law: however many times were missed, they are one.
        """
        from cronsim import CronSim

        if self.after(last) > now:
            return None
        at = now.replace(microsecond=0)
        is_at = self.after(at - timedelta(seconds=1)) == at
        return at if is_at else next(CronSim(self.cron, now, reverse=True))
