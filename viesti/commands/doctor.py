"""``viesti doctor``: what is well, what is not, and what to do about it."""

from __future__ import annotations

from viesti.commands.perform import FAILED, Json, Result, guard, out, perform
from viesti.doctor import Grade, examine
from viesti.kit.config import Settings, load_settings

MARKS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "failed": "[red]✗[/red]"}


def doctor(as_json: Json = False) -> None:
    """Check database, migrations, keys, carriers, clock and disk. Exit code 1 if one failed."""
    guard(as_json, lambda: {"settings": load_settings()})
    failed = False

    def work(settings: Settings) -> Result:
        nonlocal failed
        checks = examine(settings)
        failed = any(check.grade is Grade.FAILED for check in checks)
        return {
            "ok": not failed,
            "checks": [
                {
                    "name": check.name,
                    "status": check.grade.value,
                    "detail": check.detail,
                    "advice": check.advice,
                }
                for check in checks
            ],
        }

    def show(result: Result) -> None:
        for check in result["checks"]:
            out.print(f"{MARKS[check['status']]} {check['name']:<11}", end=" ")
            out.print(check["detail"], highlight=False, markup=False, soft_wrap=True)
            if check["advice"]:
                out.print(f"  {'':<11} -> {check['advice']}", highlight=False, markup=False)

    perform(as_json, work, show)
    if failed:
        raise SystemExit(FAILED)
