"""A worker that gets no memory: says so on /health, as ours does, and ends with code 4. Arguments: socket, code."""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

path, code = sys.argv[1:3]
asked = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        health = {"status": "not_ready", "reason": "out_of_memory", "code": code, "detail": "out of memory"}
        body = json.dumps(health).encode()
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        asked.set()

    def log_message(self, *_arguments):
        pass


server = ThreadingUnixStreamServer(path, Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
asked.wait(20)
time.sleep(0.3)
os._exit(4)
