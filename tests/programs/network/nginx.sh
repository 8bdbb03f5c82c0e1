# needs: nginx curl
# nginx: a master and two workers that share a listener, sendfile(2), keep-alive, reload, graceful end.
port=$((20000 + $$ % 10000)); dir=$(mktemp -d /tmp/nginx.XXXXXX); chmod 755 "$dir"; mkdir "$dir/html"
echo "hello from nginx" >"$dir/html/index.html"; head -c 5000000 /dev/zero | tr '\0' 'n' >"$dir/html/large"
cat >"$dir/conf" <<C
worker_processes 2; pid $dir/pid; error_log $dir/error.log; daemon on;
events { worker_connections 256; }
http { access_log off; sendfile on; client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f;
  uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
  server { listen 127.0.0.1:$port; root $dir/html;
    location /proxied/ { proxy_pass http://127.0.0.1:$port/; } } }
C
nginx -e "$dir/error.log" -p "$dir" -c "$dir/conf"
at=http://127.0.0.1:$port
curl -s $at/
curl -s $at/large | cksum
curl -s $at/proxied/large | cksum
curl -s -o /dev/null -o /dev/null -o /dev/null -w '%{http_code} %{num_connects}\n' $at/ $at/none $at/
for i in $(seq 20); do curl -s $at/large | cksum & done | sort | uniq -c
kill -HUP $(cat "$dir/pid"); sleep 0.5; curl -s $at/
kill -QUIT $(cat "$dir/pid"); for i in $(seq 100); do [ -e "$dir/pid" ] || break; sleep 0.05; done
curl -s $at/; echo "exit code $?"; rm -rf "$dir"
