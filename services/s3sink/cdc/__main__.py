import time
from http.server import BaseHTTPRequestHandler, HTTPServer
import os
class H(BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self,*a): pass
HTTPServer(("127.0.0.1",int(os.environ["ONPOINT_HTTP_PORT"])),H).serve_forever()
