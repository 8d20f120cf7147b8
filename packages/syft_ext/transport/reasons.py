"""Why a node cannot be reached, in words: what was wrong, and what to do about it where that is known."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from syft_ext.errors import InvalidConfig

__all__ = ["CA_VARIABLE", "reason_of", "tls_context"]

#: The environment variable that names the file of a private authority; of a node it is the setting ``ca_file``.
CA_VARIABLE = "GRID_CA_FILE"

# X509_V_ERR_… of OpenSSL (x509_vfy.h): who signed it is not known here; it is another host's.
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """How a client does TLS: certificates are always checked, name and time as well.

    Args:
        ca_file: PEM file of the authorities that count instead of the machine's; None: that of
            ``$GRID_CA_FILE``, if any.

    Raises :class:`InvalidConfig`, naming the file, when it cannot be read.
    """
    file = ca_file or os.environ.get(CA_VARIABLE) or None
    try:
        return ssl.create_default_context(cafile=file)
    except (ssl.SSLError, OSError) as error:
        said = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise InvalidConfig(
            f"the file of authorities {file} cannot be used: {said}", key="ca_file"
        ) from error


def reason_of(error: BaseException, *, secure: bool) -> str:
    """What went wrong with a connection. ``secure``: whether TLS was spoken, or meant to be."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error)
    if isinstance(error, ssl.SSLError):
        if (error.reason or "") in _NO_TLS:
            return "it does not speak TLS; perhaps it is reached by http:// (ws://)"
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror):
        return "no machine of that name is known here"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, ConnectionError):
        hint = "" if secure else "; one with TLS does so: it is reached by https:// (wss://)"
        return f"it hung up before it answered{hint}"
    if isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "no way leads there from this machine"
    return str(error) or type(error).__name__


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message.rstrip(".")
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return (
            f"its certificate is signed by nobody who is known here ({said}); a private authority's file is named "
            f"by ca_file=, --ca-file or {CA_VARIABLE}"
        )
    if error.verify_code == 10:
        return f"its certificate has expired ({said}); its owner has to renew it"
    if error.verify_code == 9:
        return f"its certificate is not valid yet ({said}), or this machine's clock is wrong"
    return f"its certificate does not fit: {said}"
