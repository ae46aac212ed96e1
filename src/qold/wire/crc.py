"""CRC-16/CCITT-FALSE."""

import crcmod

# x^16 + x^12 + x^5 + 1; the leading 1 is crcmod's notation for the width.
_POLYNOMIAL = 0x11021
_INITIAL = 0xFFFF

_crc = crcmod.mkCrcFun(_POLYNOMIAL, initCrc=_INITIAL, rev=False, xorOut=0)


def crc16(data: bytes) -> int:
    """The CRC of `data`; `b"123456789"` gives 0x29B1."""
    return int(_crc(data))
