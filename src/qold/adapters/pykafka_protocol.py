"""What is used of pykafka: requests, answers, records and errors of Kafka's protocol up to 3.9."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pkg_resources, and of escapes in its ZooKeeper client
    from pykafka import protocol
    from pykafka.exceptions import ERROR_CODES, MessageSetDecodeFailure
    from pykafka.utils.struct_helpers import unpack_from

__all__ = ["ERROR_CODES", "MessageSetDecodeFailure", "protocol", "unpack_from"]
