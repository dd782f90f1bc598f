"""A database shaped like StackOverflow2010: its tables, proportions and kinds of values, all made up.

Nine tables are those of the public database of that name, with their columns and keys; the tenth, Tags, is the one the
data dump behind it has besides. Rows depend on the seed and the size alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mssql_pg_migrate.tds.times import days_of

from .words import Pool

PROPORTIONS = {
    # rows of the public database
    "Votes": 10_143_364,
    "Comments": 3_875_183,
    "Posts": 3_729_195,
    "Badges": 1_102_019,
    "Users": 299_398,
    "PostLinks": 161_519,
    "Tags": 38_000,
}
CHUNK_ROWS = 1 << 13
FIRST_DAY = days_of(2008, 7, 31) - days_of(1900, 1, 1)
LAST_DAY = days_of(2010, 12, 31) - days_of(1900, 1, 1)
_THIRDS_A_DAY = 25_920_000

SCHEMA = """
CREATE TABLE dbo.Badges (Id int IDENTITY(1,1) NOT NULL, Name nvarchar(40) NOT NULL, UserId int NOT NULL,
    Date datetime NOT NULL, CONSTRAINT PK_Badges__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.Comments (Id int IDENTITY(1,1) NOT NULL, CreationDate datetime NOT NULL, PostId int NOT NULL,
    Score int NULL, Text nvarchar(700) NOT NULL, UserId int NULL,
    CONSTRAINT PK_Comments__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.LinkTypes (Id int IDENTITY(1,1) NOT NULL, Type varchar(50) NOT NULL,
    CONSTRAINT PK_LinkTypes__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.PostLinks (Id int IDENTITY(1,1) NOT NULL, CreationDate datetime NOT NULL, PostId int NOT NULL,
    RelatedPostId int NOT NULL, LinkTypeId int NOT NULL, CONSTRAINT PK_PostLinks__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.Posts (Id int IDENTITY(1,1) NOT NULL, AcceptedAnswerId int NULL, AnswerCount int NULL,
    Body nvarchar(max) NOT NULL, ClosedDate datetime NULL, CommentCount int NULL, CommunityOwnedDate datetime NULL,
    CreationDate datetime NOT NULL, FavoriteCount int NULL, LastActivityDate datetime NOT NULL,
    LastEditDate datetime NULL, LastEditorDisplayName nvarchar(40) NULL, LastEditorUserId int NULL,
    OwnerUserId int NULL, ParentId int NULL, PostTypeId int NOT NULL, Score int NOT NULL, Tags nvarchar(150) NULL,
    Title nvarchar(250) NULL, ViewCount int NOT NULL, CONSTRAINT PK_Posts__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.PostTypes (Id int IDENTITY(1,1) NOT NULL, Type nvarchar(50) NOT NULL,
    CONSTRAINT PK_PostTypes__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.Tags (Id int IDENTITY(1,1) NOT NULL, TagName nvarchar(150) NOT NULL, [Count] int NOT NULL,
    ExcerptPostId int NULL, WikiPostId int NULL, CONSTRAINT PK_Tags__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.Users (Id int IDENTITY(1,1) NOT NULL, AboutMe nvarchar(max) NULL, Age int NULL,
    CreationDate datetime NOT NULL, DisplayName nvarchar(40) NOT NULL, DownVotes int NOT NULL,
    EmailHash nvarchar(40) NULL, LastAccessDate datetime NOT NULL, Location nvarchar(100) NULL,
    Reputation int NOT NULL, UpVotes int NOT NULL, Views int NOT NULL, WebsiteUrl nvarchar(200) NULL,
    AccountId int NULL, CONSTRAINT PK_Users_Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.Votes (Id int IDENTITY(1,1) NOT NULL, PostId int NOT NULL, UserId int NULL, BountyAmount int NULL,
    VoteTypeId int NOT NULL, CreationDate datetime NOT NULL, CONSTRAINT PK_Votes__Id PRIMARY KEY CLUSTERED (Id));
CREATE TABLE dbo.VoteTypes (Id int IDENTITY(1,1) NOT NULL, Name varchar(50) NOT NULL,
    CONSTRAINT PK_VoteType__Id PRIMARY KEY CLUSTERED (Id));
INSERT INTO dbo.LinkTypes (Type) VALUES ('Linked'), ('Duplicate');
INSERT INTO dbo.PostTypes (Type) VALUES (N'Question'), (N'Answer'), (N'Wiki'), (N'TagWikiExerpt'), (N'TagWiki'),
    (N'ModeratorNomination'), (N'WikiPlaceholder'), (N'PrivilegeWiki');
INSERT INTO dbo.VoteTypes (Name) VALUES ('AcceptedByOriginator'), ('UpMod'), ('DownMod'), ('Offensive'), ('Favorite'),
    ('Close'), ('Reopen'), ('BountyStart'), ('BountyClose'), ('Deletion'), ('Undeletion'), ('Spam'),
    ('NominateModerator'), ('ModeratorReview'), ('ApproveEditSuggestion');
"""


@dataclass
class IntColumn:
    """int values; `missing` marks NULLs, None says that there are none."""

    values: np.ndarray[Any, np.dtype[np.int32]]
    missing: np.ndarray[Any, np.dtype[np.bool_]] | None = None


@dataclass
class DateColumn:
    """datetime values as days from 1900 and 1/300 s of the day."""

    days: np.ndarray[Any, np.dtype[np.int32]]
    thirds: np.ndarray[Any, np.dtype[np.int32]]
    missing: np.ndarray[Any, np.dtype[np.bool_]] | None = None


@dataclass
class TextColumn:
    """Text as UTF-16, one bytes object a row, None for NULL."""

    values: list[bytes | None]


AnyColumn = IntColumn | DateColumn | TextColumn
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def row_counts(total: int) -> dict[str, int]:
    """Rows of each generated table for a database of about `total` rows."""
    whole = sum(PROPORTIONS.values())
    return {name: max(1, round(rows * total / whole)) for name, rows in PROPORTIONS.items()}


class Generator:
    """Makes the rows of the database. `ids` are the keys of each table; `chunk` the columns of some rows."""

    def __init__(self, total: int, seed: int) -> None:
        self.seed = seed
        self.counts = row_counts(total)
        self.pool = Pool(seed)
        self.ids = {name: self._keys(number, count) for number, (name, count) in enumerate(self.counts.items())}
        self._makers: dict[str, Callable[[Any, Any, Any], list[AnyColumn]]] = {
            "Votes": self._votes,
            "Comments": self._comments,
            "Posts": self._posts,
            "Badges": self._badges,
            "Users": self._users,
            "PostLinks": self._post_links,
            "Tags": self._tags,
        }

    def _keys(self, number: int, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Ascending keys with gaps: small ones everywhere, wider ones in the middle third, some long jumps."""
        rng = np.random.default_rng([self.seed, number, 1_000_000])
        steps = np.ones(count, np.int64)
        third = count // 3
        loose = rng.random(count) < 0.1
        steps[loose] += rng.geometric(0.3, int(loose.sum()))
        steps[third : 2 * third] += rng.integers(0, 6, third)
        steps[rng.integers(0, count, max(1, count // 5000))] += rng.integers(100, 2000)
        steps[0] = 1
        return np.cumsum(steps).astype(np.int32)

    def chunks(self, table: str) -> Iterator[tuple[np.ndarray[Any, np.dtype[np.int32]], list[AnyColumn]]]:
        """The rows of a table in chunks: keys, and all columns, the key's included."""
        ids = self.ids[table]
        number = list(self.counts).index(table)
        for chunk, start in enumerate(range(0, len(ids), CHUNK_ROWS)):
            part = ids[start : start + CHUNK_ROWS]
            rng = np.random.default_rng([self.seed, number, chunk])
            place = (np.arange(start, start + len(part)) + 0.5) / len(ids)
            yield part, self._makers[table](rng, part, place)

    # --- kinds of values ---

    def _skewed(self, rng: Any, table: str, size: int) -> Any:
        """Keys of another table, the early ones far more often."""
        ids = self.ids[table]
        return ids[(rng.random(size) ** 2.5 * len(ids)).astype(np.int64)]

    @staticmethod
    def _date(rng: Any, place: Any, missing: Bools | None = None) -> DateColumn:
        """Dates that grow with the key, at any time of the day."""
        days = FIRST_DAY + place * (LAST_DAY - FIRST_DAY) + rng.random(len(place)) * 2
        whole = np.minimum(days.astype(np.int32), LAST_DAY)
        return DateColumn(whole, rng.integers(0, _THIRDS_A_DAY, len(place), dtype=np.int32), missing)

    @staticmethod
    def _counted(rng: Any, size: int, mean: float) -> Any:
        """Counts with a long tail."""
        return (rng.exponential(mean, size) ** 1.3).astype(np.int32)

    # --- tables ---

    def _votes(self, rng: Any, ids: Any, place: Any) -> list[AnyColumn]:
        size = len(ids)
        kinds = rng.choice(
            np.array([2, 3, 1, 5, 6, 8, 9, 10], np.int32), size, p=[0.8, 0.07, 0.06, 0.04, 0.01, 0.005, 0.005, 0.01]
        )
        bounty = np.isin(kinds, (8, 9))
        named = np.isin(kinds, (5, 8))
        return [
            IntColumn(ids),
            IntColumn(self._skewed(rng, "Posts", size)),
            IntColumn(self._skewed(rng, "Users", size), ~named),
            IntColumn(rng.choice(np.array([50, 100, 150, 250, 500], np.int32), size), ~bounty),
            IntColumn(kinds),
            self._date(rng, place),
        ]

    def _comments(self, rng: Any, ids: Any, place: Any) -> list[AnyColumn]:
        size = len(ids)
        lengths = np.clip(rng.lognormal(4.9, 0.7, size), 15, 600)
        return [
            IntColumn(ids),
            self._date(rng, place),
            IntColumn(self._skewed(rng, "Posts", size)),
            IntColumn(self._counted(rng, size, 0.6), rng.random(size) < 0.6),
            TextColumn(self.pool.texts(rng, lengths, limit=690)),
            IntColumn(self._skewed(rng, "Users", size), rng.random(size) < 0.02),
        ]

    def _posts(self, rng: Any, ids: Any, place: Any) -> list[AnyColumn]:
        size = len(ids)
        question = rng.random(size) < 0.3
        closed = rng.random(size) < 0.02
        edited = rng.random(size) < 0.4
        lengths = np.clip(rng.lognormal(6.35, 0.9, size), 20, 30_000)
        bodies = self.pool.texts(rng, lengths, wrap=("<p>", "</p>\n"))
        titles = self.pool.texts(rng, np.clip(rng.normal(50, 18, size), 10, 150), limit=245)
        return [
            IntColumn(ids),
            IntColumn(self._skewed(rng, "Posts", size), ~question | (rng.random(size) < 0.4)),
            IntColumn(self._counted(rng, size, 1.6), ~question),
            TextColumn(bodies),
            self._date(rng, place, ~(closed & question)),
            IntColumn(self._counted(rng, size, 1.2)),
            self._date(rng, place, rng.random(size) < 0.97),
            self._date(rng, place),
            IntColumn(self._counted(rng, size, 1.1), ~question | (rng.random(size) < 0.5)),
            self._date(rng, place),
            self._date(rng, place, ~edited),
            TextColumn(self.pool.names(rng, size, edited & (rng.random(size) < 0.1))),
            IntColumn(self._skewed(rng, "Users", size), ~edited),
            IntColumn(self._skewed(rng, "Users", size), rng.random(size) < 0.02),
            IntColumn(np.where(question, 0, self._skewed(rng, "Posts", size)).astype(np.int32)),
            IntColumn(np.where(question, 1, 2).astype(np.int32)),
            IntColumn((self._counted(rng, size, 1.8) - (rng.random(size) < 0.08)).astype(np.int32)),
            TextColumn(self.pool.tags(rng, size, question)),
            TextColumn([title if asked else None for title, asked in zip(titles, question.tolist(), strict=True)]),
            IntColumn(np.where(question, self._counted(rng, size, 400), 0).astype(np.int32)),
        ]

    def _badges(self, rng: Any, ids: Any, place: Any) -> list[AnyColumn]:
        size = len(ids)
        return [
            IntColumn(ids),
            TextColumn(self.pool.badges(rng, size)),
            IntColumn(self._skewed(rng, "Users", size)),
            self._date(rng, place),
        ]

    def _users(self, rng: Any, ids: Any, place: Any) -> list[AnyColumn]:
        size = len(ids)
        everyone = np.ones(size, np.bool_)
        about = self.pool.texts(rng, np.clip(rng.lognormal(5.2, 0.9, size), 5, 3000), wrap=("<p>", "</p>\n"))
        quiet = (rng.random(size) < 0.75).tolist()
        return [
            IntColumn(ids),
            TextColumn([None if silent else text for text, silent in zip(about, quiet, strict=True)]),
            IntColumn(rng.integers(13, 90, size, dtype=np.int32), rng.random(size) < 0.6),
            self._date(rng, place),
            TextColumn(self.pool.names(rng, size, everyone)),
            IntColumn(self._counted(rng, size, 2)),
            TextColumn(self.pool.hashes(rng, size, rng.random(size) < 0.05)),
            self._date(rng, place),
            TextColumn(self.pool.places(rng, size, rng.random(size) < 0.3)),
            IntColumn((1 + rng.pareto(0.8, size) * 10).clip(1, 1_000_000).astype(np.int32)),
            IntColumn(self._counted(rng, size, 20)),
            IntColumn(self._counted(rng, size, 30)),
            TextColumn(self.pool.urls(rng, size, rng.random(size) < 0.25)),
            IntColumn(rng.integers(1, 2_000_000, size, dtype=np.int32), rng.random(size) < 0.01),
        ]

    def _post_links(self, rng: Any, ids: Any, place: Any) -> list[AnyColumn]:
        size = len(ids)
        return [
            IntColumn(ids),
            self._date(rng, place),
            IntColumn(self._skewed(rng, "Posts", size)),
            IntColumn(self._skewed(rng, "Posts", size)),
            IntColumn(np.where(rng.random(size) < 0.8, 1, 3).astype(np.int32)),
        ]

    def _tags(self, rng: Any, ids: Any, place: Any) -> list[AnyColumn]:
        del place
        size = len(ids)
        bare = rng.random(size) < 0.3
        return [
            IntColumn(ids),
            TextColumn(self.pool.tag_names(ids)),
            IntColumn((rng.pareto(0.7, size) * 5).clip(0, 900_000).astype(np.int32)),
            IntColumn(self._skewed(rng, "Posts", size), bare),
            IntColumn(self._skewed(rng, "Posts", size), bare),
        ]
