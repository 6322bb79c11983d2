"""ReplyOptions: how a client wants its outputs written, beside what is to be computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from penstock.core.messages import InferRequest


class OutputOptions(NamedTuple):
    """How one explicitly requested output is written.

    Attributes:
        binary: as raw bytes behind the JSON; False: inside the JSON. REST only.
        classes: replace the output by its ``classes`` best classes; 0: leave it as it is.
    """

    binary: bool = False
    classes: int = 0


class ReplyOptions(msgspec.Struct, frozen=True):
    """How the answer to one request is written.

    Attributes:
        binary: whether outputs not named in ``outputs`` are written in binary. REST only.
        outputs: options of the outputs that the request lists, by name.
    """

    binary: bool = False
    outputs: Mapping[str, OutputOptions] = msgspec.field(default_factory=dict)

    @property
    def classifies(self) -> bool:
        """Whether any output is to be replaced by its best classes."""
        return any(options.classes for options in self.outputs.values())

    def is_binary(self, output: str) -> bool:
        """Whether this output is written in binary.

        An output that is listed without ``binary_data`` comes as JSON even where the request
        sets ``binary_data_output``: so do Triton and KServe, whatever the text says.
        """
        options = self.outputs.get(output)
        return self.binary if options is None else options.binary


PLAIN = ReplyOptions()
"""Everything as JSON."""


class DecodedInfer(msgspec.Struct, frozen=True):
    """A decoded inference request.

    Attributes:
        request: what is to be computed.
        reply: how the answer is to be written.
    """

    request: InferRequest
    reply: ReplyOptions
