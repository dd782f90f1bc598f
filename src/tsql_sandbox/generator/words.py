"""Made-up words, names and places for generated text."""

from __future__ import annotations

from typing import Any

import numpy as np

_POOL_WORDS = 80_000
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_LETTER_ODDS = np.array([1 / (i + 2.7) for i in range(26)])
_RARE = (
    "naïve", "café", "größe", "Ångström", "señor", "плохо", "данные", "数据", "日本語", "한국어", "שלום", "λόγος",
    "🚀", "👍", "😀", "—", "…", "“quoted”", "<code>x &gt; 0</code>", "C#", ".NET", "don't", "[link](http://x.test)",
    "a\nb", "tab\there", "&amp;", "100%", "O'Reilly", '"double"', "back\\slash", "e\u0301",
)  # fmt: skip
_BADGES = (
    "Student", "Teacher", "Supporter", "Editor", "Scholar", "Autobiographer", "Nice Answer", "Popular Question",
    "Notable Question", "Commentator", "Critic", "Tumbleweed", "Enlightened", "Good Answer", "Yearling", "Civic Duty",
    "Self-Learner", "Organizer", "Citizen Patrol", "Cleanup", "Famous Question", "Nice Question", "c#", "java",
)  # fmt: skip
_TAGS = (
    "c#", "java", ".net", "php", "asp.net", "javascript", "c++", "jquery", "iphone", "python", "sql", "mysql", "html",
    "sql-server", "ruby-on-rails", "asp.net-mvc", "wpf", "css", "objective-c", "windows", "c", "xml", "ruby",
    "best-practices", "database", "vb.net", "visual-studio", "winforms", "regex", "linq", "performance", "linux",
)  # fmt: skip
_PLACES = (
    "London, United Kingdom", "New York, NY", "San Francisco, CA", "Zürich, Switzerland", "São Paulo, Brazil",
    "Bangalore, India", "Toronto, Canada", "Sydney, Australia", "Москва", "東京", "Köln", "Reykjavík", "Kraków",
    "Chicago", "Austin, TX", "The Netherlands", "Åre", "Pune", "İstanbul", "Earth 🌍",
)  # fmt: skip


class Pool:
    """A stock of text to cut from. Everything it returns is UTF-16 little-endian."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 99])
        words = self._words(rng)
        encoded = [f"{word} ".encode("utf-16-le") for word in words]
        sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
        self._text = b"".join(encoded)
        self._starts = np.concatenate(([0], np.cumsum(sizes)))
        self._mean_word = float(sizes.mean()) / 2
        self._names = self._encode(f"{words[i].title()[:20]}{i % 997 if i % 3 else ''}" for i in range(4096))
        self._badges = self._encode(_BADGES)
        self._places = self._encode(_PLACES)
        self._urls = self._encode(
            f"http://{words[i + 5000].encode('ascii', 'ignore').decode()[:20]}.test/~u{i}" for i in range(2048)
        )
        self._tag_sets = self._encode(
            "".join(f"<{_TAGS[k]}>" for k in rng.choice(len(_TAGS), int(rng.integers(1, 6)), replace=False))
            for _ in range(1024)
        )

    @staticmethod
    def _words(rng: Any) -> list[str]:
        sizes = np.clip(rng.poisson(4.2, _POOL_WORDS), 1, 14)
        odds = _LETTER_ODDS / _LETTER_ODDS.sum()
        codes = np.frombuffer(_LETTERS.encode("ascii"), np.uint8)
        letters = codes[rng.choice(26, int(sizes.sum()), p=odds)].tobytes().decode("ascii")
        ends = np.cumsum(sizes).tolist()
        words = [letters[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]
        for place in rng.choice(_POOL_WORDS, _POOL_WORDS // 60, replace=False).tolist():
            words[place] = _RARE[place % len(_RARE)]
        return words

    @staticmethod
    def _encode(texts: Any) -> list[bytes]:
        return [text.encode("utf-16-le") for text in texts]

    def texts(
        self, rng: Any, lengths: Any, *, wrap: tuple[str, str] | None = None, limit: int | None = None
    ) -> list[bytes | None]:
        """Texts of about the given lengths in characters; none longer than `limit` UTF-16 units."""
        count = np.maximum((lengths / self._mean_word).astype(np.int64), 1)
        first = rng.integers(0, _POOL_WORDS - int(count.max()) - 1, len(lengths))
        starts, ends = self._starts[first], self._starts[first + count] - 2
        if limit is not None:
            # Whole words only, so that no surrogate pair is cut.
            long = ends - starts > limit * 2
            if long.any():
                at = np.searchsorted(self._starts, starts[long] + limit * 2, side="right") - 1
                ends[long] = self._starts[at] - 2
        text = self._text
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        if wrap is None:
            return [text[start:end] for start, end in pairs]
        before, after = wrap[0].encode("utf-16-le"), wrap[1].encode("utf-16-le")
        return [before + text[start:end] + after for start, end in pairs]

    @staticmethod
    def _pick(rng: Any, stock: list[bytes], size: int, present: Any) -> list[bytes | None]:
        chosen = rng.integers(0, len(stock), size).tolist()
        return [stock[k] if there else None for k, there in zip(chosen, present.tolist(), strict=True)]

    def names(self, rng: Any, size: int, present: Any) -> list[bytes | None]:
        """Display names."""
        return self._pick(rng, self._names, size, present)

    def places(self, rng: Any, size: int, present: Any) -> list[bytes | None]:
        """Locations."""
        return self._pick(rng, self._places, size, present)

    def urls(self, rng: Any, size: int, present: Any) -> list[bytes | None]:
        """Web addresses, and some that are empty."""
        found = self._pick(rng, self._urls, size, present)
        return [b"" if url is not None and k % 10 == 0 else url for k, url in enumerate(found)]

    def hashes(self, rng: Any, size: int, present: Any) -> list[bytes | None]:
        """Hashes of e-mail addresses."""
        values = rng.integers(0, 1 << 62, (size, 2)).tolist()
        there = present.tolist()
        return [
            f"{a:016x}{b:016x}".encode("utf-16-le") if yes else None for (a, b), yes in zip(values, there, strict=True)
        ]

    def badges(self, rng: Any, size: int) -> list[bytes | None]:
        """Names of badges, the first ones most often."""
        chosen = (rng.random(size) ** 2 * len(self._badges)).astype(np.int64).tolist()
        return [self._badges[k] for k in chosen]

    def tags(self, rng: Any, size: int, present: Any) -> list[bytes | None]:
        """Sets of tags as `<a><b>`."""
        return self._pick(rng, self._tag_sets, size, present)

    def tag_names(self, ids: Any) -> list[bytes | None]:
        """Names of tags, each with its key, so that they are unique."""
        return [f"{_TAGS[k % len(_TAGS)]}-{k}".encode("utf-16-le") for k in ids.tolist()]
