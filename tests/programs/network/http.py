# A web server and its clients in one program: urllib, http.client, keep-alive, uploads.
import http.client
import http.server
import socketserver
import threading
import urllib.error
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/missing":
            return self.answer(404, b"not here")
        self.answer(200, f"you asked for {self.path} from {self.client_address[0]}".encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, f"{len(body)} bytes, {sum(body) % 65521}".encode())

    def log_message(self, *unused):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


for address in ("127.0.0.1", "127.8.9.10"):
    server = Server((address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://%s:%d" % server.server_address
    print(urllib.request.urlopen(url + "/first").read())
    try:
        urllib.request.urlopen(url + "/missing")
    except urllib.error.HTTPError as error:
        print(error.code, error.read())
    body = bytes(range(256)) * 8192
    print(urllib.request.urlopen(urllib.request.Request(url, data=body)).read())
    kept = http.client.HTTPConnection(*server.server_address)
    for n in range(10):
        kept.request("GET", f"/{n}")
        last = kept.getresponse().read()
    print(last)
    results = []
    clients = [threading.Thread(
        target=lambda n=n: results.append(urllib.request.urlopen(f"{url}/{n}").read()))
        for n in range(20)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    print(len(set(results)))
    server.shutdown()
    server.server_close()
    try:
        urllib.request.urlopen(url)
    except urllib.error.URLError as error:
        print(type(error.reason).__name__)
