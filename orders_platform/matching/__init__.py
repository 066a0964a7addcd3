"""The matching rules: pure, no engine, no clock."""

from orders_platform.matching.figures import Rules
from orders_platform.matching.fold import MAX_EVENTS, Document, View, document_json, fold, union

__all__ = ["MAX_EVENTS", "Document", "Rules", "View", "document_json", "fold", "union"]
