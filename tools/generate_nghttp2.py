"""Generate the declarations of libnghttp2 that the gRPC server binds, as cffi keeps them.

Run ``python tools/generate_nghttp2.py`` after a change of the declarations below; ``--check``
writes nothing and fails where the committed module differs from what would be generated. The
module holds declarations alone: the library is opened when the server starts (cffi's out-of-line
ABI mode), so no compiler is needed and no C is parsed at import.

The declarations are libnghttp2's public ones (``nghttp2/nghttp2.h``), of what is used. Bytes are
``char`` here rather than ``uint8_t``, which cffi turns into Python's ``bytes`` in one step.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]  # it ships no types

_MODULE = "penstock.server.grpc_http2.nghttp2_declarations"
_PATH = Path(__file__).parents[1] / "src" / (_MODULE.replace(".", "/") + ".py")

_TYPES = """
typedef struct nghttp2_session nghttp2_session;
typedef struct nghttp2_session_callbacks nghttp2_session_callbacks;
typedef struct nghttp2_option nghttp2_option;
typedef struct { int age; int version_num; const char *version_str; const char *proto_str; }
  nghttp2_info;
typedef struct { size_t length; int32_t stream_id; uint8_t type; uint8_t flags; uint8_t reserved; }
  nghttp2_frame_hd;
typedef struct { nghttp2_frame_hd hd; } nghttp2_frame;
typedef struct { char *name; char *value; size_t namelen; size_t valuelen; uint8_t flags; }
  nghttp2_nv;
typedef struct { int32_t settings_id; uint32_t value; } nghttp2_settings_entry;
typedef union { int fd; void *ptr; } nghttp2_data_source;
typedef ssize_t (*read_callback)(nghttp2_session *, int32_t stream_id, char *buf, size_t length,
  uint32_t *data_flags, nghttp2_data_source *, void *user_data);
typedef struct { nghttp2_data_source source; read_callback read; } nghttp2_data_provider;
typedef int (*frame_callback)(nghttp2_session *, const nghttp2_frame *, void *user_data);
typedef int (*header_callback)(nghttp2_session *, const nghttp2_frame *, const char *name,
  size_t namelen, const char *value, size_t valuelen, uint8_t flags, void *user_data);
typedef int (*chunk_callback)(nghttp2_session *, uint8_t flags, int32_t stream_id,
  const char *data, size_t len, void *user_data);
typedef int (*close_callback)(nghttp2_session *, int32_t stream_id, uint32_t error_code,
  void *user_data);
typedef int (*send_data_callback)(nghttp2_session *, nghttp2_frame *, const char *framehd,
  size_t length, nghttp2_data_source *, void *user_data);
"""
_SET_UP = """
nghttp2_info *nghttp2_version(int least_version);
int nghttp2_session_callbacks_new(nghttp2_session_callbacks **);
void nghttp2_session_callbacks_del(nghttp2_session_callbacks *);
void nghttp2_session_callbacks_set_on_begin_headers_callback(
  nghttp2_session_callbacks *, frame_callback);
void nghttp2_session_callbacks_set_on_header_callback(
  nghttp2_session_callbacks *, header_callback);
void nghttp2_session_callbacks_set_on_frame_recv_callback(
  nghttp2_session_callbacks *, frame_callback);
void nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
  nghttp2_session_callbacks *, chunk_callback);
void nghttp2_session_callbacks_set_on_stream_close_callback(
  nghttp2_session_callbacks *, close_callback);
void nghttp2_session_callbacks_set_send_data_callback(
  nghttp2_session_callbacks *, send_data_callback);
int nghttp2_option_new(nghttp2_option **);
void nghttp2_option_del(nghttp2_option *);
void nghttp2_option_set_no_auto_window_update(nghttp2_option *, int);
void nghttp2_option_set_no_closed_streams(nghttp2_option *, int);
void nghttp2_option_set_max_settings(nghttp2_option *, size_t);
void nghttp2_option_set_max_outbound_ack(nghttp2_option *, size_t);
void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *, uint64_t burst, uint64_t rate);
void nghttp2_option_set_max_continuations(nghttp2_option *, size_t);
"""
_SESSION = """
int nghttp2_session_server_new2(nghttp2_session **, const nghttp2_session_callbacks *,
  void *user_data, const nghttp2_option *);
void nghttp2_session_del(nghttp2_session *);
ssize_t nghttp2_session_mem_recv(nghttp2_session *, const char *, size_t);
ssize_t nghttp2_session_mem_send(nghttp2_session *, const char **);
int nghttp2_session_want_read(nghttp2_session *);
int nghttp2_session_want_write(nghttp2_session *);
int nghttp2_session_consume_connection(nghttp2_session *, size_t);
int nghttp2_session_consume_stream(nghttp2_session *, int32_t stream_id, size_t);
int nghttp2_session_set_local_window_size(nghttp2_session *, uint8_t flags, int32_t stream_id,
  int32_t window_size);
int nghttp2_session_resume_data(nghttp2_session *, int32_t stream_id);
int nghttp2_session_terminate_session(nghttp2_session *, uint32_t error_code);
int32_t nghttp2_session_get_last_proc_stream_id(nghttp2_session *);
int nghttp2_submit_settings(nghttp2_session *, uint8_t flags, const nghttp2_settings_entry *,
  size_t);
int nghttp2_submit_response(nghttp2_session *, int32_t stream_id, const nghttp2_nv *, size_t,
  const nghttp2_data_provider *);
int nghttp2_submit_trailer(nghttp2_session *, int32_t stream_id, const nghttp2_nv *, size_t);
int nghttp2_submit_rst_stream(nghttp2_session *, uint8_t flags, int32_t stream_id,
  uint32_t error_code);
int nghttp2_submit_ping(nghttp2_session *, uint8_t flags, const char *opaque_data);
int nghttp2_submit_shutdown_notice(nghttp2_session *);
int nghttp2_submit_goaway(nghttp2_session *, uint8_t flags, int32_t last_stream_id,
  uint32_t error_code, const char *, size_t);
"""
_DOCSTRING = '''"""What is bound of libnghttp2; made by tools/generate_nghttp2.py, not by hand."""

'''


def generate() -> str:
    """The text of the module; nothing is written to the source."""
    ffi = FFI()
    ffi.cdef(_TYPES + _SET_UP + _SESSION)
    ffi.set_source(_MODULE, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "declarations.py"
        ffi.emit_python_code(str(path))
        return _DOCSTRING + path.read_text()


def main() -> None:
    """Write the module, or with ``--check`` compare it with what is there."""
    text = generate()
    is_current = _PATH.exists() and _PATH.read_text() == text
    if not is_current and "--check" in sys.argv:
        raise SystemExit(f"out of date, run tools/generate_nghttp2.py: {_PATH.name}")
    if not is_current:
        _PATH.write_text(text)
    print("up to date" if is_current else f"generated: {_PATH.name}")


if __name__ == "__main__":
    main()
