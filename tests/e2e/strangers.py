"""What a page of another origin tries against the servers of `textmill up`."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

NOBODY = "00000000-0000-0000-0000-000000000000"
DEPLOYMENT = {"name": "owned", "flow_id": NOBODY, "work_pool_name": "textmill",
              "job_variables": {"command": "touch /tmp/owned-by-a-page"}}  # fmt: skip
ATTACKS = (
    ("/flows/", {"name": "owned"}),
    ("/deployments/", DEPLOYMENT),
    (f"/deployments/{NOBODY}/create_flow_run", {}),
    ("/deployments/filter", {}),
    ("/work_pools/", {"name": "owned", "type": "process"}),
    ("/events", {}),
)
# Requests that a browser asks about first (a preflight), and those it sends at once.
SCRIPT = """
(async () => {
  const answers = [];
  for (const [url, body] of %s)
    for (const [mode, type] of [['cors', 'application/json'], ['cors', 'text/plain'],
                                ['no-cors', 'text/plain']])
      for (const credentials of ['include', 'omit'])
        answers.push(await fetch(url, {method: 'POST', mode, credentials,
                                       headers: {'content-type': type}, body: JSON.stringify(body)})
          .then(r => r.status + ' ' + r.type + ' ' + url, e => 'refused ' + url));
  return answers;
})()
"""
SOCKET = """
new Promise(done => {
  const socket = new WebSocket(%s, 'prefect');
  socket.onopen = () => done('2 socket open');
  socket.onerror = socket.onclose = () => done('refused socket');
})
"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page like any other</title>")

    def log_message(self, *_):
        pass


@contextmanager
def page_of_a_stranger():
    """Serve a page from another origin of this machine; yield its address."""
    server = HTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()


def attack_from_a_page(page, up) -> list[str]:
    """Try everything from the page that is open; return what came of each try."""
    requests = [(up.api + path, body) for path, body in ATTACKS]
    create = up.mlflow + "/api/2.0/mlflow/registered-models/create"
    requests.append((create, {"name": "owned"}))
    answers = page.run(SCRIPT % json.dumps(requests))
    for socket in ("/events/in", "/events/out"):
        address = up.api.replace("http:", "ws:") + socket
        answers.append(page.run(SOCKET % json.dumps(address)))
    return answers
