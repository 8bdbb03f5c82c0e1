# needs: postgres psql setpriv
# limit: 120
# PostgreSQL over TCP, of both families, as an ordinary user: many clients at once, a large result.
bin=$(dirname "$(readlink -f "$(command -v postgres)")"); dir=$(mktemp -d /tmp/pg.XXXXXX)
if [ "$(id -u)" = 0 ]; then as="setpriv --reuid=65534 --regid=65534 --clear-groups"; chown 65534:65534 "$dir"; fi
port=$((20000 + $$ % 10000))
cd "$dir" && $as "$bin/initdb" -D "$dir/db" -A trust -U me >/dev/null
printf '%s\n' "listen_addresses='127.0.0.1,::1'" "port=$port" "unix_socket_directories=''" >>"$dir/db/postgresql.conf"
$as "$bin/pg_ctl" -D "$dir/db" -w -l "$dir/log" start >/dev/null || cat "$dir/log"
ask() { psql -h "$1" -p $port -U me postgres -At -c "$2"; }
ask 127.0.0.1 'create table t as select generate_series(1, 200000) n'
ask ::1 'select inet_client_addr(), sum(n) from t'
ask 127.0.0.1 'select n, md5(n::text) from t order by n' | cksum
for i in 1 2 3 4 5 6 7 8; do ask 127.0.0.1 "insert into t select $i from generate_series(1, 100)" & done | sort | uniq -c
wait; ask 127.0.0.1 'select count(*) from t'
$as "$bin/pg_ctl" -D "$dir/db" -w stop -m fast | tail -n 1
ask 127.0.0.1 'select 1' 2>/dev/null; echo "exit code $?"; rm -rf "$dir"
