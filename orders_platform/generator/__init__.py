"""A shop's stream of events, seeded and endless in kind, with the document that every order must end in."""

from orders_platform.generator.options import GeneratorOptions
from orders_platform.generator.stream import Counts, Message, Stream

__all__ = ["Counts", "GeneratorOptions", "Message", "Stream"]
