"""Commands whose options read as Docker's do; click does the rest.

Go's flag parser and click differ where people notice: ``--tty=false``, ``-it``,
``-p8080:80``, options after an argument for most commands and never after the
image of ``run``. So each command first rewrites its arguments into the one
form both agree on, ``--name=value ... -- argument ...``, and hands that to click.

The rule it keeps: a command group costs nothing until one of its commands is
asked for; what a group's help page shows stands in the table, not in the modules.
"""

from __future__ import annotations

import importlib
from collections import deque
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Callback = Callable[..., int | None]

# Go's strconv.ParseBool takes exactly these.
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

WRONG_FLAG_STATUS = 125


class Refused(Exception):
    """The command line itself says no, before or instead of the daemon."""

    def __init__(
        self, message: str, *, status: int = 1, usage: click.Context | None = None, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.usage = usage
        self.hint = hint


class Option(click.Option):
    """An option that takes a value, or a switch that may; `parse` judges each value."""

    def __init__(
        self,
        decls: Sequence[str],
        *,
        parse: Callable[[str], Any] = str,
        switch: bool = False,
        split: bool = False,
        to: str = "",
        **attrs: Any,
    ) -> None:
        super().__init__(decls, type=click.UNPROCESSED, metavar="" if switch else None, **attrs)
        self.parse = parse
        self.switch = switch
        self.split = split
        self.to = to

    @property
    def shown(self) -> str:
        """The names as Docker's messages show them."""
        long = next(opt for opt in self.opts if opt.startswith("--"))
        return ", ".join([*(opt for opt in self.opts if not opt.startswith("--")), long])

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Judge what was typed; what was not typed is the default or nothing."""
        if isinstance(value, str):
            return self._judged(ctx, value)
        if isinstance(value, (tuple, list)):
            raws = [part for raw in value for part in (raw.split(",") if self.split else [raw])]
            return tuple(self._judged(ctx, raw) for raw in raws)
        return () if self.multiple else value

    def _judged(self, ctx: click.Context, raw: str) -> Any:
        try:
            return boolean(raw) if self.switch else self.parse(raw)
        except ValueError as error:
            why = f'invalid argument "{raw}" for "{self.shown}" flag: {error}'
            raise Refused(why, status=WRONG_FLAG_STATUS, usage=ctx) from error


class Command(click.Command):
    """A command that reads its options as Docker does and counts its arguments."""

    def __init__(
        self, *, usage: str, least: int, most: int | None, interspersed: bool, **attrs: Any
    ) -> None:
        super().__init__(add_help_option=False, **attrs)
        self.usage = usage
        self.least = least
        self.most = most
        self.interspersed = interspersed
        self.params.append(click.Argument(["args"], nargs=-1, type=click.UNPROCESSED))
        self.params.append(_help_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite, let click parse, then count."""
        rest = super().parse_args(ctx, canonical(self, ctx, args, self.interspersed))
        given = len(ctx.params.get("args") or ())
        if given < self.least or (self.most is not None and given > self.most):
            raise Refused(f"fairlead: '{ctx.command_path}' {self._arity()}", usage=ctx)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """What follows the command's name on its usage line."""
        return ["[OPTIONS]", *([self.usage] if self.usage else [])]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Docker's usage line, with its two blanks."""
        formatter.write(usage_line(ctx) + "\n")

    def _arity(self) -> str:
        if self.most == 0:
            return "accepts no arguments"
        if self.least == self.most:
            return f"requires {_counted(self.least)}"
        if self.most is None:
            return f"requires at least {_counted(self.least)}"
        if self.least == 0:
            return f"requires at most {_counted(self.most)}"
        return f"requires at least {self.least} and at most {_counted(self.most)}"


class LazyGroup(click.Group):
    """A group whose commands are named in a table: name -> (where it is, what it does)."""

    def __init__(self, name: str, table: Mapping[str, tuple[object, str]], **attrs: Any) -> None:
        super().__init__(name, add_help_option=False, **attrs)
        self.table = table
        self.params.append(_help_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite the group's own options; the first argument ends them."""
        if not args:
            click.echo(ctx.get_help())
            ctx.exit(0)
        return super().parse_args(ctx, canonical(self, ctx, args, interspersed=False))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that is asked for."""
        if cmd_name not in self.table:
            return None
        where, summary = self.table[cmd_name]
        if isinstance(where, dict):
            return LazyGroup(cmd_name, where, help=summary)
        module, _, attribute = str(where).partition(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        if found.help is None:
            found.help = summary
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which name is not one."""
        found = self.get_command(ctx, args[0])
        if found is None:
            message = f"fairlead: unknown command: {ctx.command_path} {args[0]}"
            raise Refused(message, usage=ctx)
        return args[0], found, args[1:]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Docker's usage line, with its two blanks."""
        formatter.write(usage_line(ctx) + "\n")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])


def command(
    usage: str = "", *, least: int = 0, most: int | None = 0, interspersed: bool = True
) -> Callable[[Callback], Command]:
    """Make a command of a function; its arguments arrive as the tuple `args`."""

    def made(function: Callback) -> Command:
        params = list(reversed(getattr(function, "__click_params__", [])))
        return Command(
            name=function.__name__,
            callback=function,
            params=params,
            usage=usage,
            least=least,
            most=most,
            interspersed=interspersed,
        )

    return made


def option(*decls: str, **attrs: Any) -> Callable[[Callback], Callback]:
    """An option with a value; `many=True` may be given again, `split=True` also takes commas."""
    many = attrs.pop("many", False) or attrs.get("split", False)
    return click.option(*decls, cls=Option, multiple=many, **attrs)


def flag(*decls: str, **attrs: Any) -> Callable[[Callback], Callback]:
    """A switch: `--name`, or `--name=false`."""
    attrs.setdefault("default", False)
    return click.option(*decls, cls=Option, switch=True, **attrs)


def canonical(
    command: click.Command, ctx: click.Context, args: Sequence[str], interspersed: bool
) -> list[str]:
    """The same arguments as ``--name=value ... -- argument ...``."""
    names = {name: param for param in command.params for name in param.opts}
    todo = deque(args)
    options: list[str] = []
    rest: list[str] = []
    while todo:
        arg = todo.popleft()
        if arg == "--":
            rest += todo
            break
        if arg.startswith("--"):
            name, equals, value = arg.partition("=")
            if name not in names:
                raise _wrong(ctx, f"unknown flag: {name}")
            options.append(_paired(ctx, name, names[name], value if equals else None, todo))
        elif len(arg) > 1 and arg.startswith("-"):
            options += _shorts(ctx, names, arg, todo)
        else:
            rest.append(arg)
            if not interspersed:
                rest += todo
                break
    return [*options, "--", *rest]


def _shorts(
    ctx: click.Context, names: Mapping[str, click.Parameter], arg: str, todo: deque[str]
) -> list[str]:
    """One bundle such as -it or -p8080:80, letter by letter."""
    made, letters = [], arg[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        if name not in names:
            raise _wrong(ctx, f"unknown shorthand flag: '{name[1]}' in {arg}")
        param = names[name]
        if letters.startswith("="):
            value: str | None = letters[1:]
            letters = ""
        elif letters and not _is_switch(param):
            value, letters = letters, ""
        else:
            value = None
        made.append(_paired(ctx, name, param, value, todo))
    return made


def _paired(
    ctx: click.Context, name: str, param: click.Parameter, value: str | None, todo: deque[str]
) -> str:
    """``--name=value``, taking the value from the next argument where one is needed."""
    if value is None:
        if _is_switch(param):
            value = "true"
        elif todo:
            value = todo.popleft()
        elif name.startswith("--"):
            raise _wrong(ctx, f"flag needs an argument: {name}")
        else:
            raise _wrong(ctx, f"flag needs an argument: '{name[1]}' in {name}")
    long = next(opt for opt in param.opts if opt.startswith("--"))
    return f"{long}={value}"


def _is_switch(param: click.Parameter) -> bool:
    return isinstance(param, Option) and param.switch


def _wrong(ctx: click.Context, message: str) -> Refused:
    return Refused(message, status=WRONG_FLAG_STATUS, usage=ctx)


def _help_option() -> Option:
    def show(ctx: click.Context, _param: click.Parameter, value: bool | None) -> None:
        if value:
            click.echo(ctx.get_help())
            ctx.exit(0)

    return Option(
        ["--help"],
        switch=True,
        default=False,
        callback=show,
        is_eager=True,
        expose_value=False,
        help="Print usage",
    )


def usage_line(ctx: click.Context) -> str:
    """The usage line of a context's command."""
    return " ".join(["Usage: ", ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])


def boolean(text: str) -> bool:
    """Go's idea of a truth value."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _counted(number: int) -> str:
    return f"{number} argument" + ("" if number == 1 else "s")
