# needs: curl python3
# A web server and curl(1) as programs of their own: transfers, ranges, refused connections.
mkdir site && head -c 3000000 /dev/zero | tr '\0' 'z' >site/large && echo "hello over tcp" >site/small
cat >serve.py <<'P'
import functools, http.server, os
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="site")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
with open("port.new", "w") as f:
    f.write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
P
python3 serve.py 2>log & server=$!
until [ -e port ]; do sleep 0.02; done
at=http://127.0.0.1:$(cat port)
curl -s $at/small
curl -s $at/large | cksum
curl -s -o /dev/null -w '%{http_code} %{size_download} %{remote_ip}\n' $at/large $at/small
curl -s -o /dev/null -w '%{http_code}\n' $at/none
for i in 1 2 3 4 5 6 7 8; do curl -s $at/large | cksum & done | sort | uniq -c
kill $server; wait $server 2>/dev/null
curl -s $at/small; echo "exit code $?"
