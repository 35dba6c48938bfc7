"""The bounded Handlebars engine: pydantic-handlebars' parser and blocks under our limits.

Only ``render`` uses it. A tenant's template is untrusted, so that every step costs from a fixed
budget and the library's open ends (partials, raw blocks, logging, unknown helpers) are refused
when the template is saved. This module alone knows the library's inner names; its version is
pinned by the lock, and the tests hold what is relied on.

Where the library differs from Handlebars itself, Handlebars wins: ``../`` does not count blocks
that keep their context (``if``, ``unless``), whole numbers have no decimals, lists print their
items.
"""

# The library offers no public way to walk a template or to meter its rendering.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic_handlebars import (
    HandlebarsError,
    HandlebarsParseError,
    HelperOptions,
    escape_expression,
)
from pydantic_handlebars._ast_nodes import (
    BlockStatement,
    CommentStatement,
    ContentStatement,
    Expression,
    MustacheStatement,
    PathExpression,
    Program,
    Statement,
    SubExpression,
)
from pydantic_handlebars._compiler import Compiler, HelperFunc, Scope
from pydantic_handlebars._helpers import get_standard_helpers
from pydantic_handlebars._parser import _Parser
from pydantic_handlebars._tokenizer import Token, TokenType, tokenize

from viesti.domain.templates.helpers import HELPERS, MAX_OUTPUT_CHARACTERS, text_of
from viesti.kit.errors import Invalid

MAX_SOURCE_CHARACTERS: Final = 4_000  # product decision, as is the depth
MAX_DEPTH: Final = 10  # of blocks, of sub-expressions, and of the names in a path
MAX_ELSE_IFS: Final = 30  # in one template: each nests the parser and the renderer once more
MAX_STEPS: Final = 20_000  # nodes visited in one rendering: some 50 ms on one core
# In all renderings of one compiled template, which is one send: some 5 s, so that ten thousand
# contacts do not make minutes of those. It leaves each of them 200 steps; an ``if`` takes five.
MAX_STEPS_OF_ALL: Final = 2_000_000
_CHARACTERS_A_STEP: Final = 32  # so that work on long values counts as the many steps it is

SYNTAX: Final = "TMPL-001"
LIMITS: Final = "TMPL-002"
OUTPUT: Final = "TMPL-003"
TOO_LONG: Final = "the text becomes too long for this contact"
TOO_MUCH: Final = "the template takes too long for so many contacts"

# A literal, or a field's path and whether it is to be escaped where the template escapes.
Piece = str | tuple[tuple[str, ...], bool]

_BLOCKS: Final = ("if", "unless", "each", "with")


def refuse(code: str, message: str, line: int | None = None, column: int | None = None) -> Invalid:
    """The error to raise, its place in the message and, for programs, in ``details``."""
    if line is None:
        return Invalid(message, code)
    return Invalid(
        f"{message} (line {line}, column {column})",
        code,
        details={"line": line, "column": column},
    )


def _check_depth(tokens: list[Token]) -> None:
    """Refuse what would exhaust the recursive parser, before it runs."""
    blocks = parentheses = else_ifs = 0
    for at, token in enumerate(tokens):
        kind = token.type
        if kind is TokenType.OPEN_BLOCK or (
            kind is TokenType.OPEN_INVERSE and tokens[at + 1].type is not TokenType.CLOSE
        ):
            blocks += 1
        elif kind is TokenType.OPEN_ENDBLOCK:
            blocks -= 1
        elif kind is TokenType.OPEN_SEXPR:
            parentheses += 1
        elif kind is TokenType.CLOSE_SEXPR:
            parentheses -= 1
        elif kind is TokenType.INVERSE and tokens[at + 1].type not in (
            TokenType.CLOSE,
            TokenType.STRIP,
        ):
            else_ifs += 1
        if max(blocks, parentheses) > MAX_DEPTH:
            raise refuse(LIMITS, f"nested more than {MAX_DEPTH} deep", token.line, token.column)
        if else_ifs > MAX_ELSE_IFS:
            raise refuse(LIMITS, f"more than {MAX_ELSE_IFS} else-ifs", token.line, token.column)


class _Checker:
    """Walks a parsed template and refuses what is not in the core."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens

    def _refuse(self, name: str, message: str) -> Invalid:
        """The tree has no positions, so the first token of that name stands for it."""
        for token in self._tokens:
            if token.type is TokenType.ID and token.value == name:
                return refuse(LIMITS, message, token.line, token.column)
        return refuse(LIMITS, message)

    def _call(
        self, path: PathExpression, params: list[Expression], named: dict[str, Expression]
    ) -> None:
        name = path.original
        helper = HELPERS.get(name)
        if helper is None:
            known = ", ".join(HELPERS)
            raise self._refuse(
                path.parts[0] if path.parts else name,
                f"there is no helper {name!r}; known are {known}",
            )
        if not helper.least <= len(params) <= helper.most or not named.keys() <= helper.named:
            takes = f"{helper.least}" if helper.least == helper.most else "1 or 2"
            raise self._refuse(name, f"{name} takes {takes} value(s)")
        for value in (*params, *named.values()):
            self._expression(value)

    def _expression(self, expression: Expression) -> None:
        if isinstance(expression, SubExpression):
            self._call(expression.path, expression.params, expression.hash_pairs)
        elif isinstance(expression, PathExpression) and (
            max(len(expression.parts), expression.depth) > MAX_DEPTH
        ):
            first = expression.parts[0] if expression.parts else ""
            raise self._refuse(first, f"a path of more than {MAX_DEPTH} names")

    def _block(self, block: BlockStatement) -> None:
        path = block.path
        if not isinstance(path, PathExpression):
            raise refuse(LIMITS, "a block begins with a name")
        name = path.original
        if name in _BLOCKS:
            if len(block.params) != 1 or block.hash_pairs:
                raise self._refuse(name, f"{name} takes 1 value")
            self._expression(block.params[0])
        elif block.params or block.hash_pairs or name in HELPERS:
            raise self._refuse(path.parts[0] if path.parts else name, f"there is no block {name!r}")
        else:
            self._expression(path)
        if len(block.block_params) > 2:
            raise self._refuse(block.block_params[2], "a block names at most 2 values")
        self.program(block.body)
        if block.inverse is not None:
            self.program(block.inverse)

    def program(self, program: Program) -> None:
        for statement in program.body:
            if isinstance(statement, MustacheStatement):
                if isinstance(statement.path, PathExpression) and (
                    statement.params or statement.hash_pairs
                ):
                    self._call(statement.path, statement.params, statement.hash_pairs)
                elif statement.params or statement.hash_pairs:
                    raise refuse(LIMITS, "only a helper takes values")
                elif isinstance(statement.path, PathExpression) and (
                    statement.path.original in _BLOCKS
                ):
                    name = statement.path.original
                    raise self._refuse(name, f"{name} is a block: write {{{{#{name} ...}}}}")
                else:
                    self._expression(statement.path)
            elif isinstance(statement, BlockStatement):
                self._block(statement)
            elif not isinstance(statement, ContentStatement | CommentStatement):
                raise refuse(LIMITS, "raw blocks are not supported")


def parse_template(source: str) -> Program:
    """The checked tree of ``source``.

    Raises Invalid: TMPL-001 (it does not parse) or TMPL-002 (too long, too deep, or beyond the
    core), with line and column from 1 where they are known.
    """
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise refuse(
            LIMITS, f"{len(source):,} characters; a template has at most {MAX_SOURCE_CHARACTERS:,}"
        )
    try:
        tokens = tokenize(source)
        _check_depth(tokens)
        program = _Parser(tokens, source).parse()
    except HandlebarsParseError as error:
        message = str(error).partition(" at line ")[0]
        raise refuse(SYNTAX, message, error.line, error.column) from error
    except ValueError as error:  # a digit that is not one to int(), such as a superscript
        raise refuse(SYNTAX, "a number that cannot be read") from error
    _Checker(tokens).program(program)
    return program


def _wrap(name: str) -> HelperFunc:
    helper = HELPERS[name]

    def call(*args: object, options: HelperOptions) -> object:
        return helper.call(list(args), options.hash)

    return call


_VALUE_HELPERS: Final[dict[str, HelperFunc]] = {name: _wrap(name) for name in HELPERS}
_ALL_HELPERS: Final[dict[str, HelperFunc]] = {
    **{name: helper for name, helper in get_standard_helpers().items() if name in _BLOCKS},
    **_VALUE_HELPERS,
}


@dataclass(slots=True)
class Meter:
    """The steps that are left to all renderings of one compiled template; None: any number.

    Threads may share one: a step lost between them does no harm.
    """

    left: int | None = MAX_STEPS_OF_ALL


class _Renderer(Compiler):
    """One rendering of one template. Cheap to make, used once, so that threads share nothing."""

    def __init__(self, *, escape: bool) -> None:
        super().__init__(
            _ALL_HELPERS,
            auto_escape=escape,
            max_depth=4 * MAX_DEPTH + MAX_ELSE_IFS,
            max_output_size=MAX_OUTPUT_CHARACTERS,
        )
        self.steps = 0

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise refuse(OUTPUT, "the template takes too long for this contact")

    def _render_program(self, program: Program, scope: Scope) -> str:
        self._step()
        return super()._render_program(program, scope)

    def _render_statement(self, stmt: Statement, scope: Scope) -> str:
        self._step()
        return super()._render_statement(stmt, scope)

    def _eval_expression(self, expr: Expression, scope: Scope) -> Any:
        self._step()
        return super()._eval_expression(expr, scope)

    def _eval_subexpression(self, expr: SubExpression, scope: Scope) -> Any:
        value = super()._eval_subexpression(expr, scope)
        if isinstance(value, str):
            self.steps += len(value) // _CHARACTERS_A_STEP
        return value

    def _render_mustache(self, stmt: MustacheStatement, scope: Scope) -> str:
        # A helper's name without values is a field of that name: {{date}} is the contact's date.
        if (stmt.params or stmt.hash_pairs) and isinstance(stmt.path, PathExpression):
            call = SubExpression(stmt.path, stmt.params, stmt.hash_pairs)
            value = self._eval_subexpression(call, scope)
        else:
            value = self._eval_expression(stmt.path, scope)
        text = text_of(value)
        return escape_expression(text) if self._auto_escape and stmt.escaped else text

    def _resolve_path(self, path: PathExpression, scope: Scope) -> Any:
        if path.depth == 0 or path.data:
            return super()._resolve_path(path, scope)
        ancestor = scope
        for _ in range(path.depth):
            parent = ancestor.parent
            while parent is not None and parent.context is ancestor.context:
                parent = parent.parent
            if parent is None:
                return None
            ancestor = parent
        flat = PathExpression(path.parts, path.original, 0, is_this=True)
        return super()._resolve_path(flat, ancestor)


def render_program(program: Program, root: dict[str, Any], meter: Meter, *, escape: bool) -> str:
    """The text of ``program`` over ``root``, its steps taken off ``meter``.

    Raises Invalid TMPL-003 beyond MAX_OUTPUT_CHARACTERS or MAX_STEPS, or with nothing left.
    """
    if meter.left is not None and meter.left <= 0:
        raise refuse(OUTPUT, TOO_MUCH)
    renderer = _Renderer(escape=escape)
    try:
        return renderer.render(program, root)
    except HandlebarsError as error:
        raise refuse(OUTPUT, TOO_LONG) from error
    finally:
        if meter.left is not None:
            meter.left -= renderer.steps


def find_plain_pieces(program: Program) -> list[Piece] | None:
    """``program`` as literals and (path, escaped) pairs, if it is nothing but text and fields."""
    pieces: list[Piece] = []
    for statement in program.body:
        if isinstance(statement, ContentStatement):
            pieces.append(statement.value)
        elif isinstance(statement, MustacheStatement):
            path = statement.path
            strip = statement.strip
            if (
                not isinstance(path, PathExpression)
                or statement.params
                or statement.hash_pairs
                or path.data
                or path.depth
                or path.is_this
                or strip.open_standalone
                or strip.close_standalone
            ):
                return None
            pieces.append((tuple(path.parts), statement.escaped))
        elif isinstance(statement, CommentStatement):
            if statement.strip.open_standalone or statement.strip.close_standalone:
                return None
        else:
            return None
    return pieces
