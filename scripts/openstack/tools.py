"""What scripts/openstack.sh leaves to Python, with the modules of Debian's packages.

    tools.py serve MODULE:FUNCTION PORT   serve a WSGI application on loopback
    tools.py register NAME TYPE URL       a user, a service and its endpoints

"serve" stands for the web server that Debian would put in front. "register"
asks Keystone at OS_AUTH_URL, as the administrator, and makes only what is
missing; the user's password is SERVICE_PASSWORD.
"""

import importlib
import json
import os
import socketserver
import sys
import urllib.parse
import urllib.request
from wsgiref import simple_server


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """A thread for every request: one slow answer does not keep the others."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # Without asking for the host's name, which may take long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


class Handler(simple_server.WSGIRequestHandler):
    """Does not log requests, and does not look up who asks."""

    def log_message(self, format, *args):
        pass

    def address_string(self):
        return self.client_address[0]


def serve(application, port):
    module, function = application.split(":")
    sys.argv = sys.argv[:1]  # the applications read the arguments
    app = getattr(importlib.import_module(module), function)()
    with simple_server.make_server("127.0.0.1", int(port), app, Server, Handler) as server:
        server.serve_forever()


class Keystone:
    """Keystone's API, as the administrator."""

    def __init__(self):
        self.url, self.token = os.environ["OS_AUTH_URL"].rstrip("/"), None
        name, project = os.environ["OS_USERNAME"], os.environ["OS_PROJECT_NAME"]
        headers, _ = self.call("POST", "/auth/tokens", {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": name, "domain": {"id": "default"}, "password": os.environ["OS_PASSWORD"]}}},
            "scope": {"project": {"name": project, "domain": {"id": "default"}}}}})
        self.token = headers["X-Subject-Token"]

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        with urllib.request.urlopen(request, timeout=60) as response:
            text = response.read()
            return response.headers, json.loads(text) if text else None

    def ensure(self, kind, find, make=None):
        """The id of the only object that find describes; made if there is none."""
        plural = kind + "s"
        _, found = self.call("GET", "/%s?%s" % (plural, urllib.parse.urlencode(find)))
        if found[plural]:
            return found[plural][0]["id"]
        _, made = self.call("POST", "/" + plural, {kind: {**find, **(make or {})}})
        return made[kind]["id"]


def register(name, service_type, url):
    keystone = Keystone()
    role = keystone.ensure("role", {"name": "admin"})
    project = keystone.ensure("project", {"name": "service", "domain_id": "default"})
    user = keystone.ensure("user", {"name": name, "domain_id": "default"}, {"password": os.environ["SERVICE_PASSWORD"]})
    keystone.call("PUT", "/projects/%s/users/%s/roles/%s" % (project, user, role))
    service = keystone.ensure("service", {"type": service_type, "name": name})
    for interface in "public", "internal", "admin":
        keystone.ensure("endpoint", {"service_id": service, "interface": interface},
                        {"region_id": os.environ["OS_REGION_NAME"], "url": url})


if __name__ == "__main__":
    {"serve": serve, "register": register}[sys.argv[1]](*sys.argv[2:])
