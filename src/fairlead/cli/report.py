"""Errors as the user sees them: one line for what was refused, one for what to do next."""

from __future__ import annotations

import click

from fairlead.http.client import ApiError
from fairlead.model.errors import FairleadError


def reported(error: Exception, *, status: int = 1, prefix: str = "") -> int:
    """Say in one line what the daemon or the host refused, and its hint; raise anything else."""
    from fairlead.cli.template import TemplateError

    if isinstance(error, ApiError):
        message, hint = f"Error response from daemon: {error.message}", error.hint
    elif isinstance(error, FairleadError):
        message, hint = error.message, error.hint
    elif isinstance(error, TemplateError):
        message, hint = str(error), ""
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message, hint = f"{where}{error.strerror or error}", ""
    else:
        raise error
    click.echo(prefix + message, err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    return status
