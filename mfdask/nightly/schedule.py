"""Schedules of the nights: a systemd timer, or a line for cron."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

from mfdask.errors import RefusedError, require
from mfdask.job_registry import job_command
from mfdask.nightly.config import is_time_of_day

NAME = "mfdask-nightly"


@dataclass(frozen=True)
class Schedule:
    """A night at a time of day.

    Parameters
    ----------
    at : str
        HH:MM, in the machine's own time.
    config : Path

    Raises
    ------
    InputError
        If `at` is no time of day.
    """

    at: str
    config: Path

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        require(is_time_of_day(self.at), "at", self.at, "a time of day, HH:MM")

    @property
    def command(self) -> list[str]:
        """What is started."""
        return job_command("nightly", "--config", str(self.config.absolute()))

    def service(self) -> str:
        """Return the systemd service: one night."""
        words = " ".join(_quote(word) for word in self.command)
        return (
            "[Unit]\n"
            "Description=mfdask: learn from the day's ratings\n\n"
            "[Service]\n"
            "Type=oneshot\n"
            f"WorkingDirectory={_escape(str(self.config.absolute().parent))}\n"
            f"ExecStart={words}\n"
            "CacheDirectory=mfdask\n"
            "Nice=10\n"
            "TimeoutStopSec=20\n"
        )

    def timer(self) -> str:
        """Return the systemd timer; a night that the machine slept through is made up for."""
        return (
            "[Unit]\n"
            "Description=mfdask every night\n\n"
            "[Timer]\n"
            f"OnCalendar=*-*-* {self.at}:00\n"
            "Persistent=true\n\n"
            "[Install]\n"
            "WantedBy=timers.target\n"
        )

    def cron(self) -> str:
        """Return the line for a crontab."""
        hour, minute = self.at.split(":")
        folder = shlex.quote(str(self.config.absolute().parent))
        line = f"cd {folder} && {shlex.join(self.command)} >> nightly.log 2>&1"
        return f"{int(minute)} {int(hour)} * * * " + line.replace("%", r"\%")

    def install(self, folder: Path) -> list[Path]:
        """Write service and timer into systemd's folder of the user, and start the timer.

        Raises
        ------
        RefusedError
            If there is no systemd that would take them.
        """
        if shutil.which("systemctl") is None:
            raise RefusedError("there is no systemd here; use the cron line: `crontab -e`")
        _systemctl("is-system-running", "--wait", ask=True)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{NAME}.service", folder / f"{NAME}.timer"]
        for file, text in zip(files, (self.service(), self.timer()), strict=True):
            file.write_text(text)
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", f"{NAME}.timer")
        return files


def next_start(at: str, now: datetime) -> datetime:
    """Return the next moment with a time of day, HH:MM."""
    moment = datetime.combine(now.date(), time.fromisoformat(at), now.tzinfo)
    return moment if moment > now else moment + timedelta(days=1)


def _systemctl(*words: str, ask: bool = False) -> None:
    """Tell the user's systemd something; with `ask`, see only whether it answers at all."""
    done = subprocess.run(
        ["systemctl", "--user", *words], capture_output=True, text=True, check=False
    )
    answered = bool(done.stdout.strip()) and done.stdout.strip() != "offline"
    if not (answered if ask else done.returncode == 0):
        said = " ".join((done.stderr or done.stdout).split()) or "no answer"
        raise RefusedError(
            f"systemd of this user does not take it ({said}); use the cron line: `crontab -e`"
        )


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def _quote(word: str) -> str:
    escaped = _escape(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if any(sign in escaped for sign in " '\"\\;") else escaped
