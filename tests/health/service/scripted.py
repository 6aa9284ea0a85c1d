"""A program on a Unix socket that answers each path with what it was given, until it ends as it was told: stands for a
worker in any state, and for a gateway in the states that a real one passes through in a moment.

Run: scripted.py SOCKET '{"/health": {...}, "/v1/telemetry": {...}}' [exit_code after_s]
"""

import json
import os
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

PATHS = json.loads(sys.argv[2])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return ""

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        body = PATHS.get(self.path, {})
        if self.path == "/v1/telemetry":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                while body.get("silent"):  # a stream that is open, and says nothing
                    time.sleep(0.2)
                while True:
                    self.wfile.write(b"data: %b\n\n" % json.dumps(body).encode())
                    self.wfile.flush()
                    time.sleep(0.2)
            except OSError:
                return
        data = json.dumps(body).encode()
        self.send_response(503 if body.get("status") == "not_ready" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if len(sys.argv) > 3:
    threading.Timer(float(sys.argv[4]), os._exit, [int(sys.argv[3])]).start()
Server(sys.argv[1], Handler).serve_forever()
