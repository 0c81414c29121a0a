"""Operators for texts and lists of texts."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Q, Value
from django.db.models.functions import Substr
from django.db.models.lookups import Contains, Exact, GreaterThan, In, IsNull, StartsWith

from core.values import sortable_values

from . import values
from .lookups import HoldsAll, HoldsAny, not_true_q
from .operators import Operator


class Text(Operator):
    """Comparisons of a text, without case in any script."""

    words = {
        "is": values.TEXT,
        "is_not": values.TEXT,
        "in": values.TEXTS,
        "not_in": values.TEXTS,
        "contains": values.TEXT,
        "starts_with": values.TEXT,
        "exists": values.FLAG,
    }

    def q(self, value: Any) -> Q:
        """Build the query on a case-folded column. An empty text counts as missing."""
        match self.word:
            case "exists":
                present = Q(GreaterThan(value, Value("")))
                return present if self.value else not_true_q(present)
            case "contains":
                return Q(Contains(value, sortable_values.fold_case(self.value)))
            case "starts_with":
                return Q(StartsWith(value, sortable_values.fold_case(self.value)))
            case _:
                return self._among(value, sortable_values.fold_case)

    def encoded_q(self, value: Any) -> Q:
        """Build the query on a free value in its sortable form. A value of another type exists but is not a text."""
        match self.word:
            case "exists":
                return Q(IsNull(value, not self.value))
            case "contains":
                is_text = Q(StartsWith(value, sortable_values.TEXT))
                return is_text & Q(Contains(Substr(value, 2), sortable_values.fold_case(self.value)))
            case "starts_with":
                return Q(StartsWith(value, sortable_values.encode_text(self.value)))
            case _:
                return self._among(value, sortable_values.encode_text)

    def in_list_q(self, value: Any) -> Q:
        """Build the query on a free value that may be a list: one element matches; for a negative word, none does."""
        if self.word == "exists":
            return self.encoded_q(value)
        if self.word in ("is_not", "not_in"):
            return not_true_q(Text("in", self._texts).in_list_q(value))
        return self.encoded_q(value) | Q(HoldsAny(value, self._parts_of_lists()))

    @property
    def _texts(self) -> tuple[str, ...]:
        return self.value if isinstance(self.value, tuple) else (self.value,)

    def _parts_of_lists(self) -> list[str]:
        """Return texts such that a list contains one of them exactly if an element matches."""
        match self.word:
            case "contains":
                return [sortable_values.encode_list_element(self.value)]
            case "starts_with":
                return [sortable_values.LIST_SEPARATOR + sortable_values.encode_list_element(self.value)]
            case _:
                return _element_patterns(self._texts)

    def _among(self, value: Any, encode: Any) -> Q:
        texts = sorted({encode(text) for text in self._texts})
        query = Q(Exact(value, Value(texts[0]))) if len(texts) == 1 else Q(In(value, texts))
        return not_true_q(query) if self.word in ("is_not", "not_in") else query

    def phrase(self, name: Callable[[str], str] = str) -> str:
        """Return the phrase, such as "is “DE”". ``name`` returns how a whole value is shown."""
        match self.word:
            case "exists":
                return "is given" if self.value else "is missing"
            case "is" | "is_not":
                return f"{self.word.replace('_', ' ')} “{name(self.value)}”"
            case "in" | "not_in":
                shown = ", ".join(f"“{name(text)}”" for text in self.value[:5])
                more = f" or {len(self.value) - 5} more" if len(self.value) > 5 else ""
                return f"is {'' if self.word == 'in' else 'not '}one of {shown}{more}"
            case word:
                return f"{word.replace('_', ' ')} “{self.value}”"


class List(Operator):
    """Comparisons of a list of texts, without case in any script."""

    words = {"has": values.TEXT, "has_any": values.TEXTS, "has_all": values.TEXTS}

    def encoded_q(self, value: Any) -> Q:
        """Build the query on a free value in its sortable form. A value that is not a list counts as missing."""
        texts = self.value if isinstance(self.value, tuple) else (self.value,)
        holds = HoldsAll if self.word == "has_all" else HoldsAny
        return Q(holds(value, _element_patterns(texts)))

    def phrase(self) -> str:
        """Return the phrase, such as "has “vip”"."""
        if self.word == "has":
            return f"has “{self.value}”"
        shown = ", ".join(f"“{text}”" for text in self.value[:5])
        more = f" and {len(self.value) - 5} more" if len(self.value) > 5 else ""
        return f"has {'all' if self.word == 'has_all' else 'any'} of {shown}{more}"


def _element_patterns(texts: Iterable[str]) -> list[str]:
    return [
        f"{sortable_values.LIST_SEPARATOR}{sortable_values.encode_list_element(text)}{sortable_values.LIST_SEPARATOR}"
        for text in texts
    ]
