"""What retention decides upon, and what comes out: a listing and its needs, and a plan in steps."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from monitoring.domain.retention_places import Rule


class Found(Struct, frozen=True, kw_only=True):
    """One entry that is no folder. `path`: relative to the data folder, with `/`. `modified_ns`: epoch ns."""

    path: str
    size_bytes: int
    modified_ns: int
    is_link: bool = False  # or anything else that is no plain file
    has_writer: bool = False


class SessionFacts(Struct, frozen=True, kw_only=True):
    """What a session's manifest says. `files`: recordings it was built from, relative to the data folder."""

    from_ns: int
    to_ns: int
    created_ns: int
    files: tuple[str, ...] = ()


class Listing(Struct, frozen=True, kw_only=True):
    """The data folder as it is. `sessions`: by folder name; None: a manifest that cannot be read.

    `archive`: folder of the archive (CONFIG.logging.baseDir) in the data folder, empty for the latter.
    """

    files: tuple[Found, ...]
    folders: tuple[str, ...] = ()
    sessions: Mapping[str, SessionFacts | None] = {}
    archive: str = ""


class Needs(Struct, frozen=True, kw_only=True):
    """Who needs what, each with a text for the report.

    `paths`: files, and folders with all in them. `order_log_since_ns`: the oldest open order or position.
    `unknown`: rules whose needs could not be asked, with the reason: nothing of them is deleted.
    """

    paths: Mapping[str, str] = {}
    order_log_since_ns: int | None = None
    unknown: Mapping[Rule, str] = {}


class Step(Struct, frozen=True, kw_only=True):
    """One thing to delete: a file, or with `folder` a folder and the files in it."""

    rule: Rule
    reason: str
    files: tuple[Found, ...]
    folder: str = ""


class Kept(Struct, frozen=True, kw_only=True):
    """A file that stays. `is_foreign`: not one of ours, or not understood."""

    path: str
    reason: str
    is_foreign: bool = False


class RetentionPlan(Struct, frozen=True, kw_only=True):
    """Steps in the order in which they are safe; folders to remove after them where they are empty."""

    steps: tuple[Step, ...]
    kept: tuple[Kept, ...]
    empty_folders: tuple[str, ...]
