"""Protobuf message types from compiled descriptors or from the text of a `.proto` file.

Text is compiled by protoc itself (of grpcio-tools), as a process of its own: registries other than
Confluent's have no compiled form to give (Apicurio ignores `format=serialized`), and a compiler
that crashes or hangs on a text takes nothing along.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from spoolsink.errors import ConversionError, RegistryAwayError

PROTOC_SECONDS = 30.0
_MAIN = "spoolsink_main.proto"
_SHOWN_CHARACTERS = 300
_LOG_LINE = re.compile(r"WARNING: |[IWE]\d{4} ")
"""What protoc's logging library writes beside protoc's own words."""

# Confluent's registry lets schemas import these two without a reference.
_CONFLUENT = {
    "confluent/type/decimal.proto": """\
syntax = "proto3";
package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
""",
    "confluent/meta.proto": """\
syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
""",
}


class MessageTypes:
    """The messages of one set of files, apart from every other set of the process."""

    def __init__(self, files: FileDescriptorSet) -> None:
        """Raises ConversionError for files that do not fit together."""
        self._pool = DescriptorPool()
        self._files = {file.name: file for file in files.file}
        added: set[str] = set()
        try:
            for name in list(self._files):
                self._add(name, added)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConversionError(f"descriptors do not fit together: {error}") from error

    def _add(self, name: str, added: set[str]) -> None:
        if name in added:
            return
        added.add(name)
        file = self._files.get(name) or _well_known(name)
        if file is None:
            raise ValueError(f"'{name}' is missing (protoc --include_imports)")
        for dependency in file.dependency:
            self._add(dependency, added)
        self._pool.AddSerializedFile(file.SerializeToString())

    def descriptor(self, full_name: str) -> Descriptor:
        """Raises KeyError."""
        return self._pool.FindMessageTypeByName(full_name)

    def message_class(self, full_name: str) -> type[Message]:
        """Raises KeyError."""
        return GetMessageClass(self.descriptor(full_name))

    def names(self) -> list[str]:
        """Full names of all messages that are not generated for maps."""
        return [name for file in self._files.values() for name in _names(file)]

    def name_at(self, file: str, indexes: Sequence[int]) -> str:
        """The full name at the message indexes of Confluent's framing; raises IndexError."""
        messages: Sequence[DescriptorProto] = self._files[file].message_type
        names = [self._files[file].package] if self._files[file].package else []
        for index in indexes:
            if index < 0:
                raise IndexError(index)
            message = messages[index]
            names.append(message.name)
            messages = message.nested_type
        return ".".join(names)


def _names(file: FileDescriptorProto) -> list[str]:
    found: list[str] = []

    def visit(messages: Sequence[DescriptorProto], prefix: str) -> None:
        for message in messages:
            if not message.options.map_entry:
                name = f"{prefix}{message.name}"
                found.append(name)
                visit(message.nested_type, f"{name}.")

    visit(file.message_type, f"{file.package}." if file.package else "")
    return found


def _well_known(name: str) -> FileDescriptorProto | None:
    """A file of Google's that the library carries, for sets that leave imports out."""
    if not name.startswith("google/protobuf/") or not name.endswith(".proto"):
        return None
    try:
        module = import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    except ImportError:
        return None
    return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def read_descriptors(data: bytes) -> MessageTypes:
    """Of a serialized FileDescriptorSet (`protoc --descriptor_set_out`)."""
    try:
        files = FileDescriptorSet.FromString(data)
    except DecodeError as error:
        raise ConversionError("not a FileDescriptorSet") from error
    if not files.file:
        raise ConversionError("a FileDescriptorSet without files")
    return MessageTypes(files)


def compile_proto(text: str, imports: Sequence[tuple[str, str]]) -> tuple[MessageTypes, str]:
    """The types of a text and the name of its file; `imports` are names and texts.

    Blocks for as long as protoc runs (some 0.1 s): to be called in a thread. Raises ConversionError
    for a text that protoc refuses, RegistryAwayError when protoc cannot be run now.
    """
    try:
        with TemporaryDirectory(prefix="spoolsink-proto-") as directory:
            _write_protos(Path(directory), [*_CONFLUENT.items(), *imports, (_MAIN, text)])
            return read_descriptors(_run_protoc(Path(directory))), _MAIN
    except (OSError, subprocess.TimeoutExpired) as error:
        # A full disk, too many processes: of this moment, not of the schema.
        raise RegistryAwayError(f"protoc cannot be run: {error}") from error


def _write_protos(root: Path, files: Sequence[tuple[str, str]]) -> None:
    for name, content in files:
        try:
            path = (root / name).resolve()
            encoded = content.encode()
        except ValueError as error:  # a NUL in the name, a lone surrogate in the text
            raise ConversionError(f"the file {name!r} cannot be written: {error}") from error
        if not path.is_relative_to(root.resolve()):
            raise ConversionError(f"the import '{name}' leads out of its directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)


def _run_protoc(root: Path) -> bytes:
    output = root / "descriptors"
    includes = [f"-I{path}" for path in (root, *_common_protos())]
    # -P: a file in the working directory must not stand in for the compiler.
    command = [sys.executable, "-P", "-m", "grpc_tools.protoc", *includes, "--include_imports"]
    command += [f"--descriptor_set_out={output}", _MAIN]
    done = subprocess.run(  # noqa: S603 (our own interpreter, no shell)
        command, check=False, capture_output=True, text=True, timeout=PROTOC_SECONDS
    )
    if done.returncode < 0:
        raise RegistryAwayError(f"protoc was ended by signal {-done.returncode}")
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if not _LOG_LINE.match(line)]
        reason = "; ".join(said)[:_SHOWN_CHARACTERS]
        raise ConversionError(f"protoc refuses it: {reason}")
    return output.read_bytes()


@cache
def _common_protos() -> tuple[Path, ...]:
    """Where `google/type/*.proto` lie, which registries know by themselves."""
    spec = find_spec("google.type")
    locations = () if spec is None else spec.submodule_search_locations or ()
    return tuple(Path(location).parents[1] for location in locations)
