"""Classes of the user, named in the configuration as `package.module:Class`."""

from collections.abc import Callable, Mapping
from importlib import import_module


def load_class(name: str) -> Callable[[Mapping[str, object]], Callable[..., object]]:
    """The class behind a name; it is called with its options. Raises ValueError with the reason."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # the user's module: it may raise anything while it is imported
        raise ValueError(f"cannot load {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"cannot load {name!r}: not a class")  # noqa: TRY004 (a bad name)
    return found  # type: ignore[no-any-return]
